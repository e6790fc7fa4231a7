"""Drawing images of given indices from a trained denoiser, as a specification asks for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.trajectory import TrajectoryAttack, TrajectoryBudget
from difrob.data import as_uint8
from difrob.data.class_balance import class_of
from difrob.diffusion.parameterisations import TrainedDenoiser, schedule_of
from difrob.diffusion.samplers import (
    SamplerOptions,
    check_options,
    guided,
    network_calls,
    sample,
    schedule_grid,
    sigma_grid,
    starting_noise,
)
from difrob.inputs import misfits
from difrob.inputs.misfits import refuse
from difrob.memory import MicroBatches
from difrob.runs.interface import Recorder
from difrob.specs import GenerateSpec


class Drawer:
    """Draws images; which pixels image i has depends on the specification and i alone, not on what is drawn with it.

    Args:
        spec: what is asked for.
        denoiser: the averaged weights.
        recorder: asked between steps whether to stop.
        pieces: how many images memory allows at once.

    Raises:
        UserError: for a sampler, an option or a grid that does not fit the denoiser.
    """

    def __init__(
        self, spec: GenerateSpec, denoiser: TrainedDenoiser, recorder: Recorder, pieces: MicroBatches
    ) -> None:  # fmt: skip
        self._spec = spec
        self._denoiser = denoiser
        self._recorder = recorder
        self._pieces = pieces
        self._device = next(denoiser.parameters()).device
        self._grid = noise_grid(spec, denoiser)
        churn = {"churn": spec.churn, "churn_noise": spec.churn_noise} if spec.sampler == "heun" else {}
        self._options = SamplerOptions(clip=spec.clip, eta=spec.eta if spec.sampler == "ddim" else 0.0, **churn)
        check_options(spec.sampler, self._options)
        self._budget: TrajectoryBudget | None = None
        if spec.attack.kappa > 0:
            attack = spec.attack
            self._budget = TrajectoryBudget(
                attack.direction, attack.kappa, attack.steps, None, attack.sigma_low, attack.sigma_high, attack.every
            )

    @property
    def calls_per_image(self) -> int:
        """How often the network sees each image, an attack not counted."""
        scale = self._spec.guidance_scale if self._denoiser.num_classes else 1.0
        return network_calls(len(self._grid) - 1, scale, self._spec.sampler)

    def classes(self, index: np.ndarray) -> np.ndarray:
        """The classes that the images are conditioned on, int64 [n]; 0 for a denoiser without classes."""
        if self._denoiser.num_classes == 0:
            return np.zeros(len(index), dtype=np.int64)
        return class_of(index, self._denoiser.num_classes, self._spec.class_weights)

    def draw(self, index: np.ndarray) -> np.ndarray:
        """The images with these indices, uint8 [n,H,W,C], in as many pieces as memory asks for."""
        return self._pieces.attempt(
            lambda: np.concatenate([self._draw(index[part]) for part in self._pieces.slices(len(index))])
        )

    def _draw(self, index: np.ndarray) -> np.ndarray:
        labels = torch.from_numpy(self.classes(index)).to(self._device) if self._denoiser.num_classes else None
        attack = self._attack(index, labels)

        def between_steps(step: int, sigma: float, state: Tensor) -> None:
            self._recorder.check_stop()
            if attack is not None:
                attack(step, sigma, state)

        u = sample(
            self._denoiser, starting_noise(self._spec.seed, index, self._denoiser.image_shape, self._device), labels,
            self._grid, sampler=self._spec.sampler, options=self._options, guidance_scale=self._spec.guidance_scale,
            index=index, seed=self._spec.seed, callback=between_steps,
        )  # fmt: skip
        return as_uint8((u + 1) / 2)

    def _attack(self, index: np.ndarray, labels: Tensor | None) -> TrajectoryAttack | None:
        if self._budget is None:
            return None
        scale, clip = self._spec.guidance_scale, self._spec.clip

        def denoise(v: Tensor, sigma: float) -> Tensor:
            clean = guided(self._denoiser, v, sigma, labels, scale)
            return clean.clamp(-1, 1) if clip else clean

        return TrajectoryAttack(denoise, self._budget, seed=self._spec.seed, indices=index)


def noise_grid(spec: GenerateSpec, denoiser: TrainedDenoiser) -> list[float]:
    """The noise levels that are stepped through.

    Raises:
        UserError: for a schedule's grid where there is no schedule, or more steps than it has.
    """
    schedule = schedule_of(denoiser)
    refuse(
        misfits.schedule_grid(spec.denoiser, spec.grid, spec.sampling_steps, 0 if schedule is None else len(schedule))
    )
    if spec.grid == "karras" or schedule is None:
        return sigma_grid(spec.sampling_steps, spec.sigma_min, spec.sigma_max, spec.rho)
    return schedule_grid(schedule, spec.sampling_steps)
