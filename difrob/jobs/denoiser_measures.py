"""How a diffusion model in training is measured: losses under noise that never changes, drawn images, toy errors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from difrob.data import ImageSet, as_uint8
from difrob.data.points import PointSet, in_diffusion_range
from difrob.data.toy import GaussianMixture, Support
from difrob.data.toy_names import Truth
from difrob.diffusion.parameterisations import Parameterisation, TrainedDenoiser
from difrob.diffusion.samplers import sample, starting_noise
from difrob.metrics.toy_errors import (
    centre_distance_measure,
    mode_errors,
    off_support_measure,
    principal_angles,
    projection_psnr,
    stray_measure,
)
from difrob.randomness import normal_per_sample, uniform_per_sample
from difrob.runs.interface import Measure, Recorder
from difrob.specs import TrainDenoiserSpec

# Held-out losses of different runs are about the same noise, whatever the runs' seeds.
VALIDATION_SEED = 0
VALIDATION_DRAWS = 4
VALIDATION_BATCH = 512

GRID_IMAGES = 100
GRID_PER_CLASS = 10
GRID_STEPS = 18

FRECHET_IMAGES = 1000
FRECHET_BATCH = 250

TOY_SAMPLES = 5000
TOY_STEPS = 50
PICTURE_PIXELS = 128
PICTURE_RANGE = 2.0


class HeldNoise:
    """A set of images with noise that never changes, so that losses at different steps and of different runs compare.

    The noise levels of an image cover the training distribution evenly: one in each of its equally likely quarters.
    """

    def __init__(
        self,
        spec: TrainDenoiserSpec,
        parameterisation: Parameterisation,
        images: ImageSet | PointSet,
        device: torch.device,
    ) -> None:
        count, draws = len(images), VALIDATION_DRAWS
        places = uniform_per_sample(VALIDATION_SEED, "held_sigma", range(count), (draws,))
        quantiles = ((torch.arange(draws) + places) / draws).clamp(1e-6, 1 - 1e-6)
        noise = normal_per_sample(VALIDATION_SEED, "held_noise", range(count), (draws, *images.shape))
        self.weight = parameterisation.weight
        self.u = in_diffusion_range(images, device).repeat_interleave(draws, dim=0)
        self.sigma = parameterisation.sigma_at(quantiles).flatten().to(device)
        self.noise = noise.flatten(0, 1).to(device)
        self.labels: Tensor | None = None
        if spec.class_conditional:
            self.labels = torch.from_numpy(images.labels.copy()).to(device).repeat_interleave(draws)

    @torch.no_grad()
    def losses(self, denoiser: TrainedDenoiser) -> np.ndarray:
        """Denoising loss of each image, averaged over its noise levels, float64 [N]."""
        parts = []
        for first in range(0, len(self.u), VALIDATION_BATCH):
            rows = slice(first, first + VALIDATION_BATCH)
            labels = None if self.labels is None else self.labels[rows]
            u, sigma = self.u[rows], self.sigma[rows]
            estimate = denoiser.denoise(u + sigma.reshape(-1, 1, 1, 1) * self.noise[rows], sigma, labels)
            parts.append(self.weight(sigma) * (estimate - u).square().flatten(1).mean(dim=1))
        per_image: np.ndarray = torch.cat(parts).reshape(-1, VALIDATION_DRAWS).cpu().double().mean(dim=1).numpy()
        return per_image


def sample_grid(
    spec: TrainDenoiserSpec, parameterisation: Parameterisation, denoiser: TrainedDenoiser, num_classes: int,
    device: torch.device,
) -> tuple[np.ndarray, list[str] | None]:  # fmt: skip
    """A grid of drawn images from noise that is the same at every step of the run: one class after the other.

    Returns:
        uint8 [n <= 100, H, W, C] and the classes as captions; None for a model without classes.
    """
    labels, captions = None, None
    if spec.class_conditional:
        shown = min(num_classes, GRID_IMAGES)
        labels = torch.arange(shown).repeat_interleave(min(GRID_PER_CLASS, GRID_IMAGES // shown))
        captions = [str(label) for label in labels.tolist()]
        labels = labels.to(device)
    count = GRID_IMAGES if labels is None else len(labels)
    noise = starting_noise(spec.seed, range(count), denoiser.image_shape, device)
    return as_uint8((sample(denoiser, noise, labels, parameterisation.grid(GRID_STEPS)) + 1) / 2), captions


def drawn_images(
    spec: TrainDenoiserSpec, parameterisation: Parameterisation, denoiser: TrainedDenoiser, device: torch.device
) -> np.ndarray:
    """A small class-balanced set of images for a distance along the training, uint8 [n,H,W,C]; the same noise each time."""
    grid, parts = parameterisation.grid(GRID_STEPS), []
    for first in range(0, FRECHET_IMAGES, FRECHET_BATCH):
        index = np.arange(first, min(first + FRECHET_BATCH, FRECHET_IMAGES))
        labels = torch.from_numpy(index % denoiser.num_classes).to(device) if spec.class_conditional else None
        noise = starting_noise(spec.seed, index, denoiser.image_shape, device)
        parts.append(as_uint8((sample(denoiser, noise, labels, grid) + 1) / 2))
    return np.concatenate(parts)


def drawn_points(
    spec: TrainDenoiserSpec, parameterisation: Parameterisation, denoiser: TrainedDenoiser, device: torch.device
) -> np.ndarray:
    """Points of the model as a whole, float64 [n, d], by deterministic sampling; the same noise at every step."""
    grid = parameterisation.grid(TOY_STEPS)
    noise = starting_noise(spec.seed, range(TOY_SAMPLES), denoiser.image_shape, device)
    labels = None
    if spec.class_conditional:
        labels = (torch.arange(TOY_SAMPLES) % denoiser.num_classes).to(device)
    points = sample(denoiser, noise, labels, grid, sampler="euler" if spec.parameterisation == "ddpm" else "heun")
    return points.flatten(1).cpu().double().numpy()


def report_points(recorder: Recorder, points: np.ndarray, truth: Truth) -> None:
    """The errors of drawn points against what is known of the distribution they should come from.

    Of images on a subspace only that subspace is known: they have no modes, so nothing about modes is recorded.
    """
    if len(truth.support.basis) < truth.dimension:
        _report_support(recorder, points, truth.support)
    if isinstance(truth, GaussianMixture):
        _report_modes(recorder, points, truth)


def _report_support(recorder: Recorder, points: np.ndarray, support: Support) -> None:
    recorder.result("off_support_rms", off_support_measure(points, support))
    recorder.result("projection_psnr", projection_psnr(points, support))
    angles = principal_angles(points, support)
    described = "largest angle between the principal components of the samples and the true support"
    recorder.result("principal_angle", Measure(float(angles[0]), n=len(points), unit="degrees", description=described))
    recorder.attribute("principal_angles", angles.tolist())


def _report_modes(recorder: Recorder, points: np.ndarray, truth: GaussianMixture) -> None:
    recorder.result("centre_distance_rms", centre_distance_measure(points, truth))
    recorder.result("stray_share", stray_measure(points, truth))
    errors = mode_errors(points, truth)
    shares = [error.share.value for error in errors]
    described = f"smallest share of {len(points)} samples that falls to a mode (true: {min(truth.weights):.3g})"
    recorder.result("smallest_mode_share", Measure(min(shares), n=len(points), unit="share", description=described))
    widths = np.array([error.spreads / error.true_spreads for error in errors])
    recorder.result(
        "relative_spread",
        Measure(float(np.nanmean(widths)), n=len(points), description="mean of (spread of a mode / its true spread)"),
    )
    recorder.attribute("mode_spreads", [error.spreads.tolist() for error in errors])
    recorder.attribute("true_mode_spreads", [error.true_spreads.tolist() for error in errors])


def point_picture(points: np.ndarray, truth: GaussianMixture) -> np.ndarray:
    """Density of points in the plane of their support, uint8 [1, 128, 128, 1], over [-2, 2]; darker is denser."""
    plane = truth.support.basis[:2]
    coordinates = points @ plane.T if len(plane) == 2 else points[:, :2]
    edges = np.linspace(-PICTURE_RANGE, PICTURE_RANGE, PICTURE_PIXELS + 1)
    counts, _, _ = np.histogram2d(coordinates[:, 1], coordinates[:, 0], bins=[edges, edges])
    shade = 255 * (1 - np.sqrt(counts / max(counts.max(), 1)))
    return shade[::-1, :, None].astype(np.uint8)[None]
