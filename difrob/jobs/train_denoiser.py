"""Train a class-conditional diffusion model with the EDM objective (Karras et al. 2022).

The step itself is in :mod:`difrob.training.denoising`; here is what surrounds it: what is measured and shown while the
model learns, and what is kept.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from difrob.data import ImageSet, as_float, as_uint8, load_split
from difrob.diffusion.edm import EDMDenoiser, edm_loss
from difrob.diffusion.samplers import heun_sample, sigma_grid, starting_noise
from difrob.errors import Stopped
from difrob.jobs.pieces import training_pieces
from difrob.metrics.accuracy import mean_measure
from difrob.nets.denoisers import check_levels
from difrob.nets.storage import pack, part_of, unpack
from difrob.randomness import normal_per_sample, uniform_per_sample
from difrob.runs.interface import Measure, Recorder
from difrob.specs import TrainDenoiserSpec
from difrob.training.denoising import DenoiserTraining, NoisyBatches, learning_rate
from difrob.training.loss_window import LossWindow

# Points of the training curves between two measurements on held-out images.
LOGS_PER_VALIDATION = 10

# Held-out losses of different runs are about the same noise, whatever the runs' seeds.
VALIDATION_SEED = 0
VALIDATION_DRAWS = 4
VALIDATION_BATCH = 512

GRID_IMAGES = 100
GRID_PER_CLASS = 10
GRID_STEPS = 18


def run(spec: TrainDenoiserSpec, recorder: Recorder, device: torch.device) -> None:
    """Train, and record curves, pictures, checkpoints and the final held-out loss.

    Raises:
        UserError: for images that do not fit the network, or when the loss is no longer a number.
        Stopped: when asked to; a checkpoint has then been written unless the run was to be aborted.
    """
    training, validation = load_split(spec.data, "train"), load_split(spec.data, "validation")
    check_levels(spec.network, training.shape)

    batches = NoisyBatches(spec, training, device)
    pieces = training_pieces(recorder, spec.memory, spec.batch_size)
    model = DenoiserTraining(spec, training.shape, training.num_classes, device, pieces)
    window = LossWindow(spec.log_every, spec.log_sigma_mean, spec.log_sigma_std, device)
    held_out = HeldNoise(spec, validation, device)
    seen = HeldNoise(spec, training.take(np.arange(min(len(training), len(validation)))), device)
    recorder.attribute("parameters", sum(parameter.numel() for parameter in model.parameters))
    recorder.attribute("sigma_bands", list(window.band_ends))

    start = 0
    if recorder.resumed_from is not None:
        state, parts = recorder.resumed_from.state, unpack(recorder.resumed_from.weights, device)
        model.restore(parts, state)
        window.restore(part_of(parts, "window"), state["window"])
        start = int(state["step"])

    def keep(done: int) -> None:
        """Make the state after ``done`` steps durable, unless it has gone wrong."""
        window.check(done - 1, learning_rate(spec, done - 1))
        parts, state = model.tensors()
        facts = {
            "step": done,
            "image_shape": list(training.shape),
            "num_classes": training.num_classes,
            "class_conditional": spec.class_conditional,
            "window": window.counters(),
        }
        recorder.checkpoint(done, pack(**parts, window=window.state_dict()), {**state, **facts})

    clock, clocked = time.perf_counter(), start
    for step in range(start, spec.steps):
        try:
            recorder.check_stop()
        except Stopped as stopped:
            if stopped.grade == "stop" and step > start:
                keep(step)
            raise

        record = model.step(step, batches.batch(step))
        window.add(*record)
        done = step + 1
        last = done == spec.steps
        recorder.progress(done, spec.steps)

        if done % spec.log_every == 0 or last:
            window.check(step, learning_rate(spec, step))
            for name, value in window.read().items():
                recorder.metric(name, done, value)
            recorder.metric("learning_rate", done, learning_rate(spec, step))
            now = time.perf_counter()
            recorder.metric("images_per_second", done, (done - clocked) * spec.batch_size / (now - clock))
            if done % (LOGS_PER_VALIDATION * spec.log_every) == 0 or last:
                for name, held in (("validation/loss", held_out), ("train/loss", seen)):
                    measure = mean_measure(held.losses(model.average.module), "", unit="EDM loss")
                    recorder.metric(name, done, measure.value, measure.low, measure.high, interval=measure.interval)
            clock, clocked = time.perf_counter(), done
        if spec.sample_every and (done % spec.sample_every == 0 or last):
            images, captions = sample_grid(spec, model.average.module, training.num_classes, device)
            recorder.images("generated", done, images, captions)
            clock, clocked = time.perf_counter(), done
        if done % spec.checkpoint_every == 0 or last:
            keep(done)

    losses = held_out.losses(model.average.module)
    described = f"EDM loss of the averaged weights on held-out images, {VALIDATION_DRAWS} fixed noise levels each"
    recorder.result("validation_loss", mean_measure(losses, described, unit="EDM loss"))
    recorder.result(
        "training_images", Measure(len(training), n=len(training), unit="images", description="images learnt from")
    )


class HeldNoise:
    """A set of images with noise that never changes, so that losses at different steps and of different runs compare.

    The noise levels of an image cover the training distribution evenly: one in each of its equally likely quarters.
    """

    def __init__(self, spec: TrainDenoiserSpec, images: ImageSet, device: torch.device) -> None:
        count, draws = len(images), VALIDATION_DRAWS
        places = uniform_per_sample(VALIDATION_SEED, "held_sigma", range(count), (draws,))
        quantiles = ((torch.arange(draws) + places) / draws).clamp(1e-6, 1 - 1e-6)
        sigma = (torch.special.ndtri(quantiles) * spec.log_sigma_std + spec.log_sigma_mean).exp()
        noise = normal_per_sample(VALIDATION_SEED, "held_noise", range(count), (draws, *images.shape))
        self.u = (2 * as_float(images.images, device) - 1).repeat_interleave(draws, dim=0)
        self.sigma = sigma.flatten().to(device)
        self.noise = noise.flatten(0, 1).to(device)
        self.labels: Tensor | None = None
        if spec.class_conditional:
            self.labels = torch.from_numpy(images.labels.copy()).to(device).repeat_interleave(draws)

    @torch.no_grad()
    def losses(self, denoiser: EDMDenoiser) -> np.ndarray:
        """EDM loss of each image, averaged over its noise levels, float64 [N]."""
        parts = []
        for first in range(0, len(self.u), VALIDATION_BATCH):
            rows = slice(first, first + VALIDATION_BATCH)
            labels = None if self.labels is None else self.labels[rows]
            parts.append(edm_loss(denoiser, self.u[rows], labels, self.sigma[rows], self.noise[rows]))
        per_image: np.ndarray = torch.cat(parts).reshape(-1, VALIDATION_DRAWS).cpu().double().mean(dim=1).numpy()
        return per_image


def sample_grid(
    spec: TrainDenoiserSpec, denoiser: EDMDenoiser, num_classes: int, device: torch.device
) -> tuple[np.ndarray, list[str] | None]:
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
    u = heun_sample(denoiser, noise, labels, sigma_grid(GRID_STEPS))
    return as_uint8((u + 1) / 2), captions
