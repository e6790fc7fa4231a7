"""Train a diffusion model, plainly (Karras et al. 2022; Ho et al. 2020) or adversarially (Briglia et al. 2026).

The step itself is in :mod:`difrob.training.denoising`; here is what surrounds it: what is measured and shown while the
model learns, and what is kept.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from difrob.data.points import in_diffusion_range
from difrob.data.toy import GaussianMixture
from difrob.diffusion.features import block_names
from difrob.errors import Stopped
from difrob.inputs.facts import BLOCKS
from difrob.inputs.training_notes import large_batch
from difrob.jobs.denoiser_measures import (
    VALIDATION_DRAWS,
    HeldNoise,
    drawn_images,
    drawn_points,
    point_picture,
    report_points,
    sample_grid,
)
from difrob.jobs.learning_words import learning_words
from difrob.jobs.micro_batches import training_pieces
from difrob.jobs.training_data import TrainingData, training_data
from difrob.metrics.accuracy import mean_measure
from difrob.metrics.conditions import data_set_condition, stated
from difrob.metrics.frechet import pixel_frechet_measure
from difrob.nets.denoisers import check_levels
from difrob.nets.storage import pack, part_of, unpack
from difrob.ranks.shares import Ranks
from difrob.runs.interface import Measure, Recorder
from difrob.specs import TrainDenoiserSpec
from difrob.training.denoising import DenoiserTraining, NoisyBatches, learning_rate
from difrob.training.loss_window import LossWindow

# Points of the training curves between two measurements on held-out images.
LOGS_PER_VALIDATION = 10


def run(spec: TrainDenoiserSpec, recorder: Recorder, device: torch.device) -> None:
    """Train, and record curves, pictures, checkpoints and the final held-out loss.

    Raises:
        UserError: for images that do not fit the network, or when the loss is no longer a number.
        Stopped: when asked to; a checkpoint has then been written unless the run was to be aborted.
    """
    data = training_data(spec, recorder)
    training, validation = data.training, data.validation
    check_levels(spec.network, training.shape)

    batches = NoisyBatches(spec, training, device)
    ranks = Ranks.here()
    pieces = training_pieces(recorder, spec.memory, spec.batch_size, ranks)
    model = DenoiserTraining(
        spec, training.shape, training.num_classes, device, pieces, lambda text: recorder.note(text, "warning"), ranks
    )
    terciles = model.parameterisation.sigma_at(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)).tolist()
    window = LossWindow(spec.log_every, (terciles[0], terciles[1]), device)
    held_out = HeldNoise(spec, model.parameterisation, validation, device)
    seen = training.take(np.arange(min(len(training), len(validation))))
    seen_noise = HeldNoise(spec, model.parameterisation, seen, device)
    recorder.attribute("parameters", sum(parameter.numel() for parameter in model.parameters))
    recorder.attribute("sigma_bands", list(window.band_ends))
    recorder.attribute("devices", ranks.world)
    if recorder.resumed_from is None:
        noun = "training image" if data.truth is None else "training point"
        recorder.note(learning_words(spec.data.dataset, len(training), noun, device, ranks))
    recorder.attribute(BLOCKS, block_names(model.denoiser))
    if recorder.resumed_from is None and (sentence := large_batch(spec.batch_size, len(training))):
        recorder.note(sentence, "warning")

    start = 0
    if recorder.resumed_from is not None:
        state, parts = recorder.resumed_from.state, unpack(recorder.resumed_from.weights, device)
        model.restore(parts, state)
        window.restore(part_of(parts, "window"), state["window"])
        start = int(state["step"])

    def keep(done: int) -> None:
        """Make the state after ``done`` steps durable, unless it has gone wrong."""
        window.check(done - 1, learning_rate(spec, done - 1))
        if not ranks.leads:
            return
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
            recorder.metric("distance_to_average", done, float(model.distance_to_average()))
            now = time.perf_counter()
            recorder.metric("images_per_second", done, (done - clocked) * spec.batch_size / (now - clock))
            if ranks.leads and (done % (LOGS_PER_VALIDATION * spec.log_every) == 0 or last):
                for name, held in (("validation/loss", held_out), ("train/loss", seen_noise)):
                    measure = mean_measure(held.losses(model.average.module), unit="EDM loss")
                    recorder.metric(name, done, measure.value, measure.low, measure.high, interval=measure.interval)
            clock, clocked = time.perf_counter(), done
        if ranks.leads and spec.sample_every and (done % spec.sample_every == 0 or last):
            show(spec, recorder, model, data, device, done)
            clock, clocked = time.perf_counter(), done
        if ranks.leads and spec.frechet_every and data.truth is None and (done % spec.frechet_every == 0 or last):
            drawn = drawn_images(spec, model.parameterisation, model.average.module, device)
            distance = pixel_frechet_measure(drawn, data.clean_images)
            recorder.metric(
                "frechet_distance", done, distance.value, distance.low, distance.high, interval=distance.interval
            )
            clock, clocked = time.perf_counter(), done
        if done % spec.checkpoint_every == 0 or last:
            keep(done)

    if not ranks.leads:
        return
    losses = held_out.losses(model.average.module)
    unit = model.parameterisation.loss_name
    what = f"{unit} of the averaged weights on held-out images, {VALIDATION_DRAWS} fixed noise levels each"
    said = stated(what, data_set=data_set_condition(recorder.data_set(spec.data.dataset), "validation"))
    recorder.result("validation_loss", mean_measure(losses, **said, unit=unit))
    recorder.result(
        "training_images", Measure(len(training), n=len(training), unit="images", description="images learnt from")
    )
    if data.truth is not None:
        report_points(recorder, drawn_points(spec, model.parameterisation, model.average.module, device), data.truth)


def show(
    spec: TrainDenoiserSpec,
    recorder: Recorder,
    model: DenoiserTraining,
    data: TrainingData,
    device: torch.device,
    done: int,
) -> None:
    """Pictures of what the averaged weights draw now: a grid of images, or the density of points beside the true one."""
    if not isinstance(data.truth, GaussianMixture):
        classes = data.training.num_classes
        images, captions = sample_grid(spec, model.parameterisation, model.average.module, classes, device)
        recorder.images("generated", done, images, captions)
        return
    points = drawn_points(spec, model.parameterisation, model.average.module, device)
    true_points = data.clean.take(np.arange(min(len(data.clean), len(points))))
    learnt_from = in_diffusion_range(data.training).flatten(1).double().numpy()
    pictures = [points, in_diffusion_range(true_points).flatten(1).double().numpy(), learnt_from]
    shown = np.concatenate([point_picture(each, data.truth) for each in pictures])
    recorder.images("generated", done, shown, ["drawn", "true", "learnt from"])
