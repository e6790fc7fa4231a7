"""A trained denoiser, read back from its run."""

from __future__ import annotations

import torch

from difrob.diffusion.parameterisations import TrainedDenoiser, parameterisation_of
from difrob.errors import UserError
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.storage import load_weights, part_of, unpack
from difrob.runs.interface import InputRun
from difrob.specs import TrainDenoiserSpec, parse_spec


def load_denoiser(input_run: InputRun, device: torch.device) -> tuple[TrainedDenoiser, TrainDenoiserSpec]:
    """The averaged weights of a ``train_denoiser`` run, in evaluation mode and without gradients.

    Raises:
        UserError: when the run is of another kind, has no checkpoint yet, or its weights do not fit its specification.
    """
    spec = parse_spec(input_run.spec)
    if not isinstance(spec, TrainDenoiserSpec):
        raise UserError(
            f"run '{input_run.run_id}' is of kind '{spec.kind}'; a run of kind 'train_denoiser' is needed here"
        )
    checkpoint = input_run.checkpoint("last")
    channels, height, width = checkpoint.state["image_shape"]
    classes = checkpoint.state["num_classes"] if spec.class_conditional else 0
    network = build_denoiser_network(spec.network, (channels, height, width), classes)
    denoiser = parameterisation_of(spec).wrap(network)
    load_weights(denoiser, part_of(unpack(checkpoint.weights), "average"))
    return denoiser.to(device).eval().requires_grad_(False), spec


def require_null_class(spec: TrainDenoiserSpec, run_id: str) -> None:
    """Refuse a denoiser that has never seen the null class where the class must not, or need not, be given.

    Raises:
        UserError: naming the setting of its training that would have taught it.
    """
    if spec.class_conditional and spec.label_dropout == 0:
        raise UserError(
            f"denoiser '{run_id}' was trained with label_dropout = 0 and cannot work without a class, which guidance "
            "and denoised smoothing need; train one with label_dropout = 0.1"
        )
