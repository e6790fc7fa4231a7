"""Draw a labelled set of images from a trained diffusion model (Wang et al. 2023, section 3).

The label of an image is the class it was conditioned on. Image i has class i mod K and noise that depends on (seed, i)
alone, so every prefix of the set is class-balanced, the batch size changes nothing, and an interrupted run goes on
where it stopped.
"""

from __future__ import annotations

import numpy as np
import torch

from difrob.data import ImageSet, as_uint8, load_split
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.loading import load_denoiser, require_null_class
from difrob.diffusion.samplers import heun_sample, network_calls, sigma_grid, starting_noise
from difrob.errors import UserError
from difrob.jobs.pieces import sampling_pieces
from difrob.memory import MicroBatches
from difrob.metrics.frechet import pixel_frechet_measure
from difrob.metrics.memorisation import duplicate_measure, memorised_measure, nearest_neighbours
from difrob.runs.interface import Recorder
from difrob.specs import GenerateSpec, TrainDenoiserSpec

# Distances and duplicates are measured on the first images of the set: a balanced sample of it, small enough to be drawn
# again when a resumed run no longer has them in memory.
MEASURED_IMAGES = 2000
SHEET_IMAGES = 100
SHEET_PER_CLASS = 10
NEIGHBOUR_PAIRS = 20


def run(spec: GenerateSpec, recorder: Recorder, device: torch.device) -> None:
    """Draw the set, and measure how near to, and how distinct from, the training images it is.

    Raises:
        UserError: when the denoiser cannot be conditioned on a class, or not be guided.
        Stopped: when asked to, between two steps of the sampler; whole batches are kept.
    """
    denoiser, trained = load_denoiser(recorder.input_run(spec.denoiser), device)
    check(spec, trained)
    training = load_split(trained.data, "train")
    recorder.attribute("network_calls_per_image", network_calls(spec.sampling_steps, spec.guidance_scale))
    recorder.attribute("num_classes", denoiser.num_classes)

    pieces = sampling_pieces(recorder, spec.batch_size)
    measured: list[np.ndarray] = []
    start = recorder.recorded_samples
    for first in range(start, spec.images, spec.batch_size):
        index = np.arange(first, min(first + spec.batch_size, spec.images), dtype=np.int64)
        images = draw(spec, denoiser, index, recorder, pieces)
        if first == 0:
            show_classes(recorder, len(images), images, denoiser.num_classes)
        recorder.samples(images=images, label=index % denoiser.num_classes, index=index)
        recorder.progress(int(index[-1]) + 1, spec.images, "images")
        measured.append(images[index < MEASURED_IMAGES])

    lost = np.arange(min(start, MEASURED_IMAGES, spec.images), dtype=np.int64)
    redrawn = [draw(spec, denoiser, part, recorder, pieces) for part in batches_of(lost, spec.batch_size)]
    first_images = np.concatenate([*redrawn, *measured])
    if start > 0:  # without a checkpoint, a resumed run keeps its rows, but no pictures
        show_classes(recorder, min(spec.batch_size, spec.images), first_images[: spec.batch_size], denoiser.num_classes)
    report(recorder, first_images, training)


def check(spec: GenerateSpec, trained: TrainDenoiserSpec) -> None:
    """Refuse a denoiser that cannot give labelled images.

    Raises:
        UserError: saying which setting of the denoiser's training is in the way.
    """
    if not trained.class_conditional or trained.label_dropout == 1:
        raise UserError(
            f"denoiser '{spec.denoiser}' was trained without classes, but the class it is given is the label of the "
            "image; choose one trained with class_conditional = true and label_dropout below 1"
        )
    if spec.guidance_scale != 1:
        require_null_class(trained, spec.denoiser)


def draw(
    spec: GenerateSpec, denoiser: EDMDenoiser, index: np.ndarray, recorder: Recorder, pieces: MicroBatches
) -> np.ndarray:
    """The images with these indices, uint8 [n,H,W,C], in as many pieces as memory asks for."""
    return pieces.attempt(
        lambda: np.concatenate([_draw(spec, denoiser, index[part], recorder) for part in pieces.slices(len(index))])
    )


def _draw(spec: GenerateSpec, denoiser: EDMDenoiser, index: np.ndarray, recorder: Recorder) -> np.ndarray:
    """Asks between steps whether to stop."""
    device = next(denoiser.parameters()).device
    labels = torch.from_numpy(index % denoiser.num_classes).to(device)
    u = heun_sample(
        denoiser,
        starting_noise(spec.seed, index, denoiser.image_shape, device),
        labels,
        sigma_grid(spec.sampling_steps, spec.sigma_min, spec.sigma_max, spec.rho),
        guidance_scale=spec.guidance_scale,
        callback=lambda step, sigma, state: recorder.check_stop(),
    )
    return as_uint8((u + 1) / 2)


def show_classes(recorder: Recorder, step: int, images: np.ndarray, num_classes: int) -> None:
    """A contact sheet of the first images, one class after the other, as it stood after ``step`` images."""
    labels = np.arange(len(images)) % num_classes
    shown = np.arange(min(len(images), SHEET_PER_CLASS * num_classes, SHEET_IMAGES))
    shown = shown[np.argsort(labels[shown], kind="stable")]
    recorder.images("generated", step, images[shown], [str(label) for label in labels[shown]])


def report(recorder: Recorder, images: np.ndarray, training: ImageSet) -> None:
    """Final numbers, and the first images beside their nearest training images."""
    nearest = nearest_neighbours(images, training.images)
    if len(images) > 1:
        recorder.result("frechet_distance", pixel_frechet_measure(images, training.images))
    recorder.result("memorised_share", memorised_measure(nearest))
    recorder.result("duplicate_share", duplicate_measure(images, nearest))

    pairs: list[np.ndarray] = []
    captions: list[str] = []
    for image, row, distance in zip(images, nearest.index, nearest.distance, strict=True):
        if len(captions) == 2 * NEIGHBOUR_PAIRS:
            break
        pairs += [image, training.images[row]]
        captions += [
            f"generated {len(captions) // 2 % training.num_classes}",
            f"nearest training image, a {training.labels[row]}, at distance {distance:.2f}",
        ]
    recorder.images("nearest_training", len(images), np.stack(pairs), captions)


def batches_of(index: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive pieces of at most ``size``; none for an empty array."""
    return [index[first : first + size] for first in range(0, len(index), size)]
