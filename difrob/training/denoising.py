"""One optimiser step of a denoiser, and everything that step depends on.

Batch, noise levels, noise, label dropout and learning rate of a step are functions of (seed, step), so the only state is
what the optimiser and the weight average hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.noise_ascent import RadiusSchedule
from difrob.data import Augmentation, DeviceImages, EpochOrder, ImageSet
from difrob.data.points import PointSet, in_diffusion_range
from difrob.diffusion.parameterisations import TrainedDenoiser, parameterisation_of
from difrob.memory import MicroBatches
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.storage import load_weights, pack_optimiser, part_of, restore_optimiser
from difrob.randomness import generator, seeded_globally
from difrob.ranks.shares import ALONE, Ranks
from difrob.specs import TrainDenoiserSpec
from difrob.specs.diffusion_parts import RegulariserSpec
from difrob.training.compute import Compute, Tell, send
from difrob.training.equivariance import Draws, EquivarianceRule, draw_perturbation, regularised_losses
from difrob.training.optimisers import lay_out_like_parameters
from difrob.training.weight_averaging import HalfLifeAverage

PLAIN = EquivarianceRule(strength=0.0)


def equivariance_rule(spec: RegulariserSpec) -> EquivarianceRule | None:
    """The regulariser that a specification asks for, None for plain training."""
    if spec.constraint == "none" or spec.strength == 0:
        return None
    return EquivarianceRule(
        constraint=spec.constraint, perturbation=spec.perturbation, strength=spec.strength,
        radius=RadiusSchedule(spec.radius_form, spec.radius_smallest, spec.radius_exponent), step_share=spec.step_share,
        goal=spec.goal, detach_clean=spec.detach_clean, from_step=spec.from_step,
    )  # fmt: skip


class NoisyBatch(NamedTuple):
    """What one step learns from: clean images u in the diffusion range, v = u + sigma n, and omega where one is drawn."""

    u: Tensor
    labels: Tensor | None
    sigma: Tensor
    noise: Tensor
    draws: Draws | None = None

    def part(self, rows: slice) -> NoisyBatch:
        """Some of its images."""
        return NoisyBatch(
            self.u[rows], None if self.labels is None else self.labels[rows], self.sigma[rows], self.noise[rows],
            None if self.draws is None else self.draws.part(rows),
        )  # fmt: skip


class StepRecord(NamedTuple):
    """What one step found out, still on the device.

    Attributes:
        losses: denoising loss of each image, without the penalty, [B].
        sigma: noise levels, [B].
        gradient_norm: before clipping, [].
        penalty: mean weighted penalty of the regulariser, []; None in a plain step.
    """

    losses: Tensor
    sigma: Tensor
    gradient_norm: Tensor
    penalty: Tensor | None = None


def learning_rate(spec: TrainDenoiserSpec, step: int) -> float:
    """Linear ramp-up to the peak, then a half cosine towards zero at the last step (or constant)."""
    if step < spec.rampup_steps:
        return spec.learning_rate * (step + 1) / spec.rampup_steps
    if not spec.cosine_decay:
        return spec.learning_rate
    share = (step - spec.rampup_steps) / max(spec.steps - spec.rampup_steps, 1)
    return spec.learning_rate * (1 + math.cos(math.pi * share)) / 2


class NoisyBatches:
    """The batch of any step: images or points, noise levels, noise, and the perturbation where one is drawn."""

    def __init__(self, spec: TrainDenoiserSpec, training: ImageSet | PointSet, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        self.parameterisation = parameterisation_of(spec)
        self.rule = equivariance_rule(spec.regulariser)
        self.shape = training.shape
        self.null_class = training.num_classes
        self.order = EpochOrder(len(training), spec.batch_size, spec.seed)
        self._clean = _Images(training, spec, device) if isinstance(training, ImageSet) else _Points(training, device)

    def batch(self, step: int) -> NoisyBatch:
        """Images, labels with the null class dropped in, noise levels and noise of this step."""
        spec, random = self.spec, generator(self.spec.seed, "denoiser_step", step)
        sigma = self.parameterisation.draw_sigma(spec.batch_size, random)
        noise = torch.randn(spec.batch_size, *self.shape, generator=random)
        dropped = torch.rand(spec.batch_size, generator=random) < spec.label_dropout
        u, labels = self._clean.batch(self.order.batch(step), step)
        seen = labels.masked_fill(self._send(dropped), self.null_class) if spec.class_conditional else None
        drawn = None if self.rule is None else draw_perturbation(self.rule, noise.shape, spec.seed, step)
        draws = None if drawn is None else Draws(*map(self._send, drawn))
        return NoisyBatch(u, seen, self._send(sigma), self._send(noise), draws)

    def _send(self, tensor: Tensor) -> Tensor:
        return send(tensor, self.device)


class _Images:
    """Batches of images as u = 2x - 1, mirrored at random where the data allow it."""

    def __init__(self, images: ImageSet, spec: TrainDenoiserSpec, device: torch.device) -> None:
        self._images = DeviceImages(images, device)
        self._augmentation = Augmentation(flips=spec.flips)
        self._seed = spec.seed

    def batch(self, rows: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        images, labels = self._images.batch(rows, self._augmentation, self._seed, step)
        return images.mul_(2).sub_(1), labels


class _Points:
    """Batches of points, which need no conversion."""

    def __init__(self, points: PointSet, device: torch.device) -> None:
        self._u = in_diffusion_range(points, device)
        self._labels = torch.from_numpy(points.labels.copy()).to(device)

    def batch(self, rows: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        places = send(torch.from_numpy(rows), self._u.device)
        return self._u[places], self._labels[places]


class DenoiserTraining:
    """Network, optimiser and weight average of a run.

    Attributes:
        denoiser: the denoiser being trained.
        average: its weight average, from which is sampled.
        pieces: how many images go through it at once.
        ranks: the processes that share each batch.
    """

    def __init__(
        self,
        spec: TrainDenoiserSpec,
        image_shape: tuple[int, int, int],
        num_classes: int,
        device: torch.device,
        pieces: MicroBatches,
        tell: Tell,
        ranks: Ranks = ALONE,
    ) -> None:
        self.spec = spec
        self.device = device
        self.pieces = pieces
        self.ranks = ranks
        self.parameterisation = parameterisation_of(spec)
        self.rule = equivariance_rule(spec.regulariser) or PLAIN
        with seeded_globally(device, spec.seed, "weights"):
            network = build_denoiser_network(spec.network, image_shape, num_classes if spec.class_conditional else 0)
        self.compute = Compute(spec.compute, device, tell)
        self.compute.lay_out(network)
        self.denoiser: TrainedDenoiser = self.parameterisation.wrap(network).to(device).train()
        self.parameters = list(self.denoiser.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=spec.learning_rate, fused=device.type in ("cpu", "cuda"))
        self.average: HalfLifeAverage[TrainedDenoiser] = HalfLifeAverage(
            self.denoiser, spec.ema_halflife_images, spec.ema_rampup_ratio
        )
        self.compute.compile(network)

    def step(self, step: int, batch: NoisyBatch) -> StepRecord:
        """One step of Adam and of the average. Reads nothing back from the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.spec, step)
        losses, penalty = self._gradients(step, batch)
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.gradient_clip or math.inf)
        self.optimiser.step()
        self.average.update(self.denoiser, images=len(batch.u))
        return StepRecord(losses, batch.sigma, gradient_norm, penalty)

    def distance_to_average(self) -> Tensor:
        """How far the weights are from their average, relative to its length, []; stays on the device."""
        averaged: list[Tensor] = list(self.average.module.parameters())
        weights = [parameter.detach() for parameter in self.parameters]
        differences = torch._foreach_sub(weights, averaged)
        return torch.stack(torch._foreach_norm(differences)).norm() / torch.stack(torch._foreach_norm(averaged)).norm()

    def _gradients(self, step: int, batch: NoisyBatch) -> tuple[Tensor, Tensor | None]:
        """Leave the gradient of the mean loss in the parameters; the losses [B] and the mean penalty, detached.

        Gradient, losses and penalty are those of all ranks.
        """
        own_losses, own_penalties = self.pieces.attempt(lambda: self._own_gradients(step, batch))
        if self.ranks.world == 1:
            return own_losses, None if own_penalties is None else own_penalties.mean()
        self.pieces.agree(self.ranks)
        self.ranks.add_up([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        found = [self._of_all_ranks(own, batch) for own in (own_losses, own_penalties) if own is not None]
        return found[0], found[1].mean() if len(found) > 1 else None

    def _of_all_ranks(self, own: Tensor, batch: NoisyBatch) -> Tensor:
        """What each rank has found out about its own images, as one tensor [B]."""
        count = len(batch.u)
        whole = torch.zeros(count, dtype=own.dtype, device=own.device)
        whole[self.ranks.share(count)] = own
        self.ranks.add_up([whole])
        return whole

    def _own_gradients(self, step: int, batch: NoisyBatch) -> tuple[Tensor, Tensor | None]:
        """Leave what this rank's share contributes to the gradient; its losses and its penalties, detached."""
        self.optimiser.zero_grad(set_to_none=True)
        losses, penalties = [], []
        own = batch.part(self.ranks.share(len(batch.u)))
        for part in self.pieces.slices(len(own.u)):
            images = own.part(part)
            found = regularised_losses(
                self.denoiser, images.u, images.labels, images.sigma, images.noise,
                weight=self.parameterisation.weight(images.sigma), rule=self.rule, draws=images.draws,
                masks=partial(self._forward_pass, step, part.start),
            )  # fmt: skip
            (found.losses.mean() * (len(images.u) / len(batch.u))).backward()
            losses.append(found.denoising)
            penalties += [] if found.penalty is None else [found.penalty]
        return torch.cat(losses), torch.cat(penalties) if penalties else None

    @contextmanager
    def _forward_pass(self, step: int, first: int) -> Iterator[None]:
        """Around each forward pass: precision, and dropout masks that both branches of a regularised step share."""
        with ExitStack() as stack:
            if self.spec.network.dropout > 0:
                # Pieces and ranks must not share their masks; a whole batch on one device keeps the name it had.
                piece = (first, self.ranks.rank) if self.ranks.rank else (first,) if first else ()
                stack.enter_context(seeded_globally(self.device, self.spec.seed, "dropout", step, *piece))
            stack.enter_context(self.compute.autocast())
            yield

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
        lay_out_like_parameters(self.optimiser)
