"""One optimiser step of a denoiser, and everything that step depends on.

Batch, noise levels, noise, label dropout and learning rate of a step are functions of (seed, step), so the only state is
what the optimiser and the weight average hold.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from difrob.data import EpochOrder, ImageSet, as_float
from difrob.diffusion.edm import EDMDenoiser, draw_sigma, edm_loss
from difrob.memory import MicroBatches
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.storage import load_weights, pack_optimiser, part_of, restore_optimiser
from difrob.randomness import generator, seeded_globally
from difrob.specs import TrainDenoiserSpec
from difrob.training.weight_averaging import HalfLifeAverage


class NoisyBatch(NamedTuple):
    """What one step learns from; see :func:`difrob.diffusion.edm.edm_loss`."""

    u: Tensor
    labels: Tensor | None
    sigma: Tensor
    noise: Tensor

    def part(self, rows: slice) -> NoisyBatch:
        """Some of its images."""
        return NoisyBatch(
            self.u[rows], None if self.labels is None else self.labels[rows], self.sigma[rows], self.noise[rows]
        )


class StepRecord(NamedTuple):
    """What one step found out, still on the device: loss and noise level of each image [B], gradient norm []."""

    losses: Tensor
    sigma: Tensor
    gradient_norm: Tensor


def learning_rate(spec: TrainDenoiserSpec, step: int) -> float:
    """Linear ramp-up to the peak, then a half cosine towards zero at the last step (or constant)."""
    if step < spec.rampup_steps:
        return spec.learning_rate * (step + 1) / spec.rampup_steps
    if not spec.cosine_decay:
        return spec.learning_rate
    share = (step - spec.rampup_steps) / max(spec.steps - spec.rampup_steps, 1)
    return spec.learning_rate * (1 + math.cos(math.pi * share)) / 2


class NoisyBatches:
    """The training images on the device, and the batch of any step."""

    def __init__(self, spec: TrainDenoiserSpec, training: ImageSet, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        self.u = 2 * as_float(training.images, device) - 1
        self.labels = torch.from_numpy(training.labels.copy()).to(device)
        self.null_class = training.num_classes
        self.order = EpochOrder(len(training), spec.batch_size, spec.seed)

    def batch(self, step: int) -> NoisyBatch:
        """Images, labels with the null class dropped in, noise levels and noise of this step."""
        spec, random = self.spec, generator(self.spec.seed, "denoiser_step", step)
        sigma = draw_sigma(spec.batch_size, spec.log_sigma_mean, spec.log_sigma_std, random)
        noise = torch.randn(spec.batch_size, *self.u.shape[1:], generator=random)
        dropped = torch.rand(spec.batch_size, generator=random) < spec.label_dropout
        rows = self._send(torch.from_numpy(self.order.batch(step)))
        labels = None
        if spec.class_conditional:
            labels = self.labels[rows].masked_fill(self._send(dropped), self.null_class)
        return NoisyBatch(self.u[rows], labels, self._send(sigma), self._send(noise))

    def _send(self, tensor: Tensor) -> Tensor:
        """To the device; from pinned memory a GPU fetches it without the host waiting for queued work."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class DenoiserTraining:
    """Network, optimiser and weight average of a run.

    Attributes:
        denoiser: the denoiser being trained.
        pieces: how many images go through it at once.
        average: its weight average, from which is sampled.
    """

    def __init__(
        self,
        spec: TrainDenoiserSpec,
        image_shape: tuple[int, int, int],
        num_classes: int,
        device: torch.device,
        pieces: MicroBatches,
    ) -> None:
        self.spec = spec
        self.pieces = pieces
        self.device = device
        with seeded_globally(device, spec.seed, "weights"):
            network = build_denoiser_network(spec.network, image_shape, num_classes if spec.class_conditional else 0)
        self.denoiser = EDMDenoiser(network, spec.sigma_data).to(device).train()
        self.parameters = list(self.denoiser.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=spec.learning_rate, fused=device.type in ("cpu", "cuda"))
        self.average: HalfLifeAverage[EDMDenoiser] = HalfLifeAverage(
            self.denoiser, spec.ema_halflife_images, spec.ema_rampup_ratio
        )

    def step(self, step: int, batch: NoisyBatch) -> StepRecord:
        """One step of Adam and of the average. Reads nothing back from the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.spec, step)
        losses = self.pieces.attempt(lambda: self._gradients(step, batch))
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.gradient_clip or math.inf)
        self.optimiser.step()
        self.average.update(self.denoiser, images=len(batch.u))
        return StepRecord(losses, batch.sigma, gradient_norm)

    def _gradients(self, step: int, batch: NoisyBatch) -> Tensor:
        """Leave the gradient of the mean loss in the parameters; the losses themselves, detached [B]."""
        self.optimiser.zero_grad(set_to_none=True)
        losses = []
        with self._dropout(step):
            for part in self.pieces.slices(len(batch.u)):
                images = batch.part(part)
                of_part = edm_loss(self.denoiser, *images)
                (of_part.mean() * (len(images.u) / len(batch.u))).backward()
                losses.append(of_part.detach())
        return torch.cat(losses)

    def _dropout(self, step: int) -> AbstractContextManager[None]:
        if self.spec.network.dropout == 0:
            return nullcontext()
        return seeded_globally(self.device, self.spec.seed, "dropout", step)

    def tensors(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """All state as the parts of a checkpoint, and the JSON data that belongs to it."""
        optimiser_tensors, optimiser_state = pack_optimiser(self.optimiser)
        parts = {
            "network": dict(self.denoiser.state_dict()),
            "average": self.average.state_dict(),
            "optimiser": optimiser_tensors,
        }
        state = {
            "optimiser": optimiser_state, "average": self.average.counters(), "micro_batch": self.pieces.size,
        }  # fmt: skip
        return parts, state

    def restore(self, parts: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Go on from :meth:`tensors`. UserError when the checkpoint belongs to another network."""
        load_weights(self.denoiser, part_of(parts, "network"))
        self.average.restore(part_of(parts, "average"), state["average"])
        restore_optimiser(self.optimiser, part_of(parts, "optimiser"), state["optimiser"])
