"""Draw a labelled set of images from a trained diffusion model (Wang et al. 2023, section 3).

The label of an image is the class it was conditioned on. Image i has a class and noise that depends on (seed, i)
alone, so every prefix of the set is class-balanced, the batch size changes nothing, and an interrupted run goes on
where it stopped. Where duplicates or memories are dropped, the images with the next indices of the class take their places.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from difrob.data import ImageSet, load_split
from difrob.data.toy_names import TOYS
from difrob.diffusion.loading import load_denoiser
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.errors import Stopped
from difrob.inputs import misfits
from difrob.inputs.misfits import refuse
from difrob.jobs.confidence_selection import (
    CHECKPOINT_SECONDS,
    Judge,
    candidates_of,
    confident_indices,
    confident_survivors,
)
from difrob.jobs.distinct_images import KINDS, DistinctImages, require_some
from difrob.jobs.drawing import Drawer
from difrob.jobs.micro_batches import sampling_pieces
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import mean_measure
from difrob.metrics.frechet import pixel_frechet_measure
from difrob.metrics.memorisation import exact_copy_measure, memorised_measure, nearest_neighbours
from difrob.nets.storage import pack
from difrob.runs.interface import Recorder
from difrob.specs import GenerateSpec
from difrob.specs.denoiser_runs import HowTrained
from difrob.training.loading import load_classifier

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
    training = load_split(recorder, trained.data, "train")
    pieces = sampling_pieces(recorder, spec.batch_size)
    judge = open_judge(spec, recorder, denoiser, device, pieces)
    drawer = Drawer(spec, denoiser, recorder, pieces)
    recorder.attribute("network_calls_per_image", drawer.calls_per_image)
    recorder.attribute("num_classes", training.num_classes)
    recorder.attribute("class_names", list(recorder.data_set(trained.data.dataset).class_names))

    if spec.selection.drops and spec.selection.keep_share == 1:
        with DistinctImages(spec, spec.images, drawer, training, device) as distinct:
            first_images, labels = draw_distinct(spec, recorder, drawer, judge, distinct)
            distinct.report(recorder, len(distinct.kept))
            distinct.show(recorder)
        report(recorder, first_images, labels, training)
        return

    chosen, scores = np.arange(spec.images, dtype=np.int64), None
    if judge is not None and spec.selection.keep_share < 1:
        if spec.selection.drops:
            with DistinctImages(spec, candidates_of(spec), drawer, training, device) as distinct:
                chosen, scores = confident_survivors(spec, recorder, drawer, judge, distinct, denoiser.num_classes)
        else:
            chosen, scores = confident_indices(spec, recorder, drawer, judge, denoiser.num_classes)
            recorder.attribute("candidates", candidates_of(spec))
        report_selection(spec, recorder, scores)
    before = 0 if scores is None else candidates_of(spec)
    count = len(chosen)

    measured: list[np.ndarray] = []
    start = recorder.recorded_samples
    for first in range(start, count, spec.batch_size):
        rows = slice(first, min(first + spec.batch_size, count))
        index = chosen[rows]
        images = drawer.draw(index)
        labels = labels_of(spec, drawer, judge, images, index)
        if first == 0:
            show_classes(recorder, len(images), images, labels)
        further = {} if scores is None else {"score": scores[rows]}
        recorder.samples(images=images, label=labels, index=index, **further)
        recorder.progress(before + rows.stop, before + count, "images")
        if first < MEASURED_IMAGES:  # an empty view would keep all pixels of its batch alive
            measured.append(images[: MEASURED_IMAGES - first])

    recorder.progress(before + count, before + count, "images")  # also where all rows were there already
    lost = chosen[: min(start, MEASURED_IMAGES)]
    redrawn = [drawer.draw(part) for part in batches_of(lost, spec.batch_size)]
    first_images = np.concatenate([*redrawn, *measured])
    labels = labels_of(spec, drawer, judge, first_images, chosen[: len(first_images)])
    if start > 0:  # without a checkpoint, a resumed run keeps its rows, but no pictures
        shown = min(spec.batch_size, count)
        show_classes(recorder, shown, first_images[:shown], labels[:shown])
    report(recorder, first_images, labels, training)


def draw_distinct(
    spec: GenerateSpec, recorder: Recorder, drawer: Drawer, judge: Judge | None, distinct: DistinctImages
) -> tuple[np.ndarray, np.ndarray]:
    """Draw and record a set of which duplicates or memories are dropped, in one pass.

    Recorded rows tell an interrupted run where it was. Only where nothing is kept for a long time, checkpoints do.

    Returns:
        The first images of the set, uint8 [n, H, W, C], and their labels, int64 [n].

    Raises:
        UserError: when no candidate survives.
        Stopped: when asked to; what was kept is recorded.
    """
    known = ("images", "label", "index", *(f"dropped_before_{kind}" for kind in KINDS))
    done, rows = recorder.recorded_samples, None
    first_images: list[np.ndarray] = []
    first_labels: list[np.ndarray] = []
    if done:
        rows = {name: recorder.recorded_column(name) for name in known}
        first_images.append(np.array(rows["images"][:MEASURED_IMAGES]))
        first_labels.append(np.array(rows["label"][:MEASURED_IMAGES]))
    state = recorder.resumed_from.state if recorder.resumed_from is not None else None
    distinct.restore_rows(rows, state)
    del rows
    recorder.progress(done, spec.images, "images")

    unsaved, saved_at = False, time.monotonic()
    sheet = min(spec.batch_size, MEASURED_IMAGES, spec.images)
    is_shown = False

    def show(at_least: int) -> bool:
        if sum(map(len, first_images)) < max(1, at_least):
            return False
        images, labels = np.concatenate(first_images)[:sheet], np.concatenate(first_labels)[:sheet]
        show_classes(recorder, len(images), images, labels)
        return True

    def save() -> None:
        nonlocal unsaved, saved_at
        if unsaved:
            recorder.checkpoint(distinct.state["next"], pack(), distinct.state)
        unsaved, saved_at = False, time.monotonic()

    try:
        for survivors in distinct.batches():
            is_shown = is_shown or show(sheet)
            images, index = survivors.images[survivors.recorded :], survivors.index[survivors.recorded :]
            unsaved = len(images) == 0
            if unsaved:
                if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    save()
                continue
            labels = labels_of(spec, drawer, judge, images, index)
            recorder.samples(images=images, label=labels, index=index, **survivors.counts())
            if done < MEASURED_IMAGES:
                first_images.append(images[: MEASURED_IMAGES - done])
                first_labels.append(labels[: MEASURED_IMAGES - done])
            done, saved_at = done + len(images), time.monotonic()
            recorder.progress(done, spec.images, "images")
    except Stopped as stopped:
        if stopped.grade == "stop":
            save()
        raise
    require_some(distinct)
    if not is_shown:
        show(1)
    return np.concatenate(first_images), np.concatenate(first_labels)


def check(spec: GenerateSpec, trained: HowTrained) -> None:
    """Refuse a denoiser that cannot give labelled images.

    Raises:
        UserError: saying which setting of the denoiser's training is in the way.
    """
    if trained.data.dataset in TOYS:
        refuse(misfits.drawn_points(spec.denoiser, trained.data.dataset))
    refuse(misfits.generation(spec, trained.class_conditional, trained.label_dropout))


def open_judge(
    spec: GenerateSpec, recorder: Recorder, denoiser: TrainedDenoiser, device: torch.device, pieces: MicroBatches
) -> Judge | None:
    """The classifier that chooses or labels, on as many images at once as the pieces say; None where nobody is asked."""
    if spec.selection.judge is None or (spec.selection.keep_share == 1 and spec.labels == "condition"):
        return None
    classifier, _ = load_classifier(recorder.input_run(spec.selection.judge), "best", device)
    refuse(misfits.judged_classes(spec.selection.judge, classifier.num_classes, denoiser.num_classes))
    return Judge(classifier, denoiser.image_shape, device, pieces)


def labels_of(
    spec: GenerateSpec, drawer: Drawer, judge: Judge | None, images: np.ndarray, index: np.ndarray
) -> np.ndarray:
    """The labels of drawn images, int64 [n]: what they were conditioned on, or what the judge says."""
    if judge is not None and spec.labels == "judge":
        # In batches as they were drawn: images that were labelled before get the same labels again.
        batches = [judge.probabilities(images[rows]) for rows in batches_of(np.arange(len(images)), spec.batch_size)]
        return np.concatenate(batches).argmax(axis=1).astype(np.int64)
    return drawer.classes(index)


def report_selection(spec: GenerateSpec, recorder: Recorder, scores: np.ndarray) -> None:
    """What the selection did."""
    described = f"probability of the label under the judge, of the {len(scores)} images kept of {candidates_of(spec)}"
    recorder.result("mean_confidence", mean_measure(scores.astype(np.float64), described, unit="probability"))


def show_classes(recorder: Recorder, step: int, images: np.ndarray, labels: np.ndarray) -> None:
    """A contact sheet of the first images, one class after the other."""
    first_of_each = [np.flatnonzero(labels == label)[:SHEET_PER_CLASS] for label in np.unique(labels)]
    shown = np.concatenate(first_of_each)[:SHEET_IMAGES]
    recorder.images("generated", step, images[shown], [str(label) for label in labels[shown]])


def report(recorder: Recorder, images: np.ndarray, labels: np.ndarray, training: ImageSet) -> None:
    """Final numbers, and the first images beside their nearest training images."""
    nearest = nearest_neighbours(images, training.images)
    if len(images) > 1:
        recorder.result("frechet_distance", pixel_frechet_measure(images, training.images))
    recorder.result("memorised_share", memorised_measure(nearest))
    recorder.result("exact_copy_share", exact_copy_measure(images, nearest))

    pairs: list[np.ndarray] = []
    captions: list[str] = []
    for image, row, distance in zip(images, nearest.index, nearest.distance, strict=True):
        if len(captions) == 2 * NEIGHBOUR_PAIRS:
            break
        pairs += [image, training.images[row]]
        captions += [
            f"generated {labels[len(captions) // 2]}",
            f"nearest training image, a {training.labels[row]}, at distance {distance:.2f}",
        ]
    recorder.images("nearest_training", len(images), np.stack(pairs), captions)


def batches_of(index: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive pieces of at most ``size``; none for an empty array."""
    return [index[first : first + size] for first in range(0, len(index), size)]
