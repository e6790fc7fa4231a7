"""Measure a generated set: nearness to real images, overlap with them, memorised and repeated images, right labels.

What belongs to one generated image (its nearest training image, its label as a classifier sees it, ...) is a row of the
run's samples, so that an interrupted run goes on with the next image. What belongs to the set as a whole comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from difrob.data import as_float
from difrob.jobs.measured_features import (
    IN_BALLS,
    IN_FEATURES,
    InFeatures,
    check_sizes,
    in_features,
    open_extractor,
    passes_of_network,
)
from difrob.jobs.measured_report import SharesSoFar, report_labels, report_neighbours
from difrob.jobs.measured_set import MeasuredSet, balanced_part, open_classifier, open_set
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.distances import Points, grid_points, neighbour_radii, pixel_points
from difrob.metrics.extractors import ClassifierFeatures, label_of
from difrob.metrics.frechet import frechet_measure
from difrob.metrics.kernel import kernel_measure
from difrob.metrics.manifolds import Overlap, density_and_coverage, overlap, precision_and_recall
from difrob.metrics.memorisation import nearest_among, nearest_copy
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import MeasureSpec


def run(spec: MeasureSpec, recorder: Recorder, device: torch.device) -> None:
    """Measure what the specification names.

    Raises:
        UserError: when the runs do not fit together, or the sets are too small for a measure; before any work.
    """
    measured = open_set(spec, recorder)
    pieces = sampling_pieces(recorder, spec.batch_size)
    classifier, called = open_classifier(spec, recorder, measured, device) if spec.classifier else (None, "")
    judge = ClassifierFeatures(classifier, called, pieces) if classifier is not None else None
    check_sizes(spec, measured, judge)
    if classifier is not None and spec.extractor != "classifier" and "label_agreement" not in spec.measures:
        recorder.note("the classifier has nothing to do: neither its features nor its labels are asked for", "warning")
    record_sizes(spec, recorder, measured)

    passes = passes_of_network(spec, measured)
    balls = len(measured.reference) if IN_BALLS & set(spec.measures) else 0
    total = passes + len(measured) + balls
    extractor = None
    if IN_FEATURES & set(spec.measures):
        extractor = open_extractor(spec, recorder, measured, judge, device)
    # Before the features: a file that has changed is refused before hours are spent on it.
    rests_on = label_of(extractor) if extractor is not None and passes else ""
    table = ResultTable(recorder, range(len(measured)), indices=measured.index, rests_on=rests_on)
    features = in_features(spec, recorder, measured, extractor, total) if extractor is not None else None
    sweep = Sweep.over(spec, recorder, measured, features, classifier, device, passes)
    so_far = SharesSoFar(spec, recorder, measured)

    def rows(positions: range) -> dict[str, np.ndarray]:
        return pieces.attempt(partial(sweep.rows, positions.start, positions.stop, pieces))

    with table.saved_when_stopped():
        sweep_images(
            recorder, table, spec.batch_size, rows, take_in=so_far.take_in, report=so_far.record, before=passes,
            total=total,
        )  # fmt: skip
        if features is not None:
            report_features(spec, recorder, features, sweep, table)
        if judge is not None and "label_agreement" in spec.measures:
            report_labels(recorder, table, measured, label_of(judge))
        report_neighbours(spec, recorder, table, measured, device)


def record_sizes(spec: MeasureSpec, recorder: Recorder, measured: MeasuredSet) -> None:
    """How many images of which kind the numbers rest on."""
    sizes: dict[str, Any] = {
        "generated": len(measured),
        "reference": {"split": spec.reference, "images": len(measured.reference)},
        "training": len(measured.training),
    }
    if measured.held_out is not None:
        sizes["held_out"] = {"split": spec.held_out, "images": len(measured.held_out)}
    recorder.attribute("images", sizes)


@dataclass(frozen=True)
class Sweep:
    """All that is found out image by image; what is None is not asked for.

    Attributes:
        images: the generated images as pixels, where distances between pixels are asked for.
        training: the images that the denoiser learnt from, as pixels.
        equal_training, equal_held_out: class-balanced parts of training and held-out images, of one size.
        generated_balls, reference_balls: generated and reference images in features, on one grid.
        passes: how many images a large network has seen before, which progress counts.
    """

    spec: MeasureSpec
    recorder: Recorder
    measured: MeasuredSet
    classifier: Classifier | None
    images: Points | None
    training: Points | None
    equal_training: Points | None
    equal_held_out: Points | None
    generated_balls: Points | None
    reference_balls: Points | None
    passes: int = 0

    @classmethod
    def over(
        cls,
        spec: MeasureSpec,
        recorder: Recorder,
        measured: MeasuredSet,
        features: InFeatures | None,
        classifier: Classifier | None,
        device: torch.device,
        passes: int = 0,
    ) -> Sweep:
        """Put on the device what the measures of the specification compare."""
        asked = set(spec.measures)
        images = training = equal_training = equal_held_out = balls = reference_balls = None
        if asked & {"memorisation", "duplicates"}:
            images = pixel_points(measured.images, device)
        if measured.held_out is not None:
            training = pixel_points(measured.training.images, device)
            count = min(len(measured.training), len(measured.held_out))
            equal_training, equal_held_out = (
                pixel_points(balanced_part(part, count, spec.seed).images, device)
                for part in (measured.training, measured.held_out)
            )
        if asked & IN_BALLS and features is not None:
            reference_balls, balls = grid_points(features.reference, features.generated, device=device)
        judge = classifier if "label_agreement" in asked else None
        return cls(
            spec, recorder, measured, judge, images, training, equal_training, equal_held_out, balls, reference_balls,
            passes,
        )  # fmt: skip

    def rows(self, first: int, last: int, pieces: MicroBatches) -> dict[str, np.ndarray]:
        """Columns for the images from ``first`` to before ``last``, in as many pieces as memory asks for."""
        found = [
            self._rows(slice(first + part.start, first + part.stop), part.start) for part in pieces.slices(last - first)
        ]
        return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}

    def _rows(self, rows: slice, place: int) -> dict[str, np.ndarray]:
        if place:
            self.recorder.check_stop()
        stop = self.recorder.check_stop
        columns = {"index": self.measured.index[rows], "label": self.measured.labels[rows]}
        if self.classifier is not None:
            device = next(self.classifier.parameters()).device
            with torch.inference_mode():
                logits = self.classifier(as_float(self.measured.images[rows], device))
            columns["prediction"] = logits.argmax(1).cpu().numpy()
        if self.images is not None and self.training is not None:
            assert self.equal_training is not None and self.equal_held_out is not None
            some = self.images.take(rows)
            for name, reference in (
                ("training", self.training),
                ("equal_training", self.equal_training),
                ("equal_held_out", self.equal_held_out),
            ):
                columns |= nearest_among(some, reference, stop).columns(name)
        if self.images is not None and "duplicates" in self.spec.measures:
            columns["earlier_row"], columns["earlier_distance"] = nearest_copy(self.images, rows, stop)
        if self.generated_balls is not None:
            squares = neighbour_radii(self.generated_balls, self.spec.neighbours, rows, between=stop)
            # The unit is a power of two: this loses nothing, and can be undone.
            columns["squared_radius"] = squares * self.generated_balls.unit**2
        return columns

    def overlap(self, squared_radii: np.ndarray) -> Overlap:
        """How both sets lie in each other's balls, given the squared radii of the generated ones.

        Args:
            squared_radii: column of all rows, in squared feature units, [n].
        """
        assert self.generated_balls is not None and self.reference_balls is not None
        own, reference, stop = self.generated_balls, self.reference_balls, self.recorder.check_stop
        radii = squared_radii / own.unit**2
        balls = np.zeros(len(own), dtype=np.int64)
        recalled, covered = [], []
        for first in range(0, len(reference), self.spec.batch_size):
            rows = slice(first, min(first + self.spec.batch_size, len(reference)))
            reach = neighbour_radii(reference, self.spec.neighbours, rows, between=stop)
            part = overlap(own, radii, reference.take(rows), reach, between=stop)
            balls += part.balls
            recalled.append(part.recalled)
            covered.append(part.covered)
            before = self.passes + len(own)
            self.recorder.progress(before + rows.stop, before + len(reference), "images")
        return Overlap(balls, np.concatenate(recalled), np.concatenate(covered))


def report_features(
    spec: MeasureSpec, recorder: Recorder, features: InFeatures, sweep: Sweep, table: ResultTable
) -> None:
    """The distances between the two sets, and how they overlap."""
    stop, conditions = recorder.check_stop, features.conditions
    if "frechet" in spec.measures:
        recorder.result("frechet_distance", frechet_measure(features.generated, features.reference, stop, **conditions))
    if "kernel" in spec.measures:
        recorder.result(
            "kernel_distance",
            kernel_measure(features.generated, features.reference, spec.kernel_subset, spec.seed, stop, **conditions),
        )
    if sweep.generated_balls is None:
        return
    found = sweep.overlap(table["squared_radius"])
    results: dict[str, Measure] = {}
    if "precision_recall" in spec.measures:
        results |= precision_and_recall(found, spec.neighbours, **conditions)
    if "density_coverage" in spec.measures:
        results |= density_and_coverage(found, spec.neighbours, **conditions)
    for name, measure in results.items():
        recorder.result(name, measure)
