"""A trained denoiser, read back from its run."""

from __future__ import annotations

import torch

from difrob.diffusion.described import described_denoiser
from difrob.diffusion.parameterisations import TrainedDenoiser, parameterisation_of
from difrob.inputs import misfits
from difrob.inputs.misfits import refuse
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.storage import load_weights, part_of, unpack
from difrob.runs.interface import InputRun
from difrob.specs import TrainDenoiserSpec, parse_spec
from difrob.specs.denoiser_runs import HowTrained, ImportedTraining, denoiser_run


def load_denoiser(input_run: InputRun, device: torch.device) -> tuple[TrainedDenoiser, HowTrained]:
    """The averaged weights of a run with a diffusion model, in evaluation mode and without gradients.

    Args:
        input_run: the run.
        device: where the network is put.

    Raises:
        UserError: when the run is of another kind, has no checkpoint yet, or its weights do not fit what it says of them.
    """
    spec = denoiser_run(parse_spec(input_run.spec), input_run.run_id)
    checkpoint = input_run.checkpoint("last")
    weights = part_of(unpack(checkpoint.weights), "average")
    if not isinstance(spec, TrainDenoiserSpec):
        denoiser = described_denoiser(checkpoint.state)
        load_weights(denoiser, weights, assign=True)
        how: HowTrained = ImportedTraining(spec.data, denoiser.num_classes > 0, spec.label_dropout)
    else:
        channels, height, width = checkpoint.state["image_shape"]
        classes = checkpoint.state["num_classes"] if spec.class_conditional else 0
        network = build_denoiser_network(spec.network, (channels, height, width), classes)
        denoiser = parameterisation_of(spec).wrap(network)
        load_weights(denoiser, weights)
        how = spec
    return denoiser.to(device).eval().requires_grad_(False), how


def require_null_class(trained: HowTrained, run_id: str) -> None:
    """Refuse a denoiser that has never seen the null class where the class must not, or need not, be given.

    Raises:
        UserError: naming the setting of its training that would have taught it.
    """
    refuse(misfits.null_class(run_id, trained.class_conditional, trained.label_dropout))
