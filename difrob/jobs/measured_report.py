"""What a measurement tells of its rows: running shares, final numbers, curves, and the images that stand out."""

from __future__ import annotations

import numpy as np
import torch

from difrob.data import ImageSet
from difrob.jobs.measured_set import MeasuredSet
from difrob.jobs.per_image import ResultTable, Rows
from difrob.jobs.running_totals import RunningShare
from difrob.metrics.accuracy import LEVEL, share_measure
from difrob.metrics.agreement import agreement_by_class, agreement_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.distances import pixel_points
from difrob.metrics.intervals import wilson
from difrob.metrics.memorisation import (
    Nearest,
    closeness_ratio_measure,
    copying_measure,
    is_near,
    memorised_measure,
    near_copy_measure,
    nearest_among,
)
from difrob.runs.interface import Measure, Recorder
from difrob.specs import MeasureSpec

SHOWN_PAIRS = 24
SHOWN_DISAGREEMENTS = 48
MOST_CLASSES = 20  # beyond, the classes are told by the curve alone
CURVE_POINTS = 129


class SharesSoFar:
    """The shares over the images done so far."""

    def __init__(self, spec: MeasureSpec, recorder: Recorder, measured: MeasuredSet) -> None:
        self._spec = spec
        self._recorder = recorder
        self._pixels = int(np.prod(measured.images.shape[1:]))
        self._shares: dict[str, RunningShare] = {}

    def take_in(self, rows: Rows) -> None:
        """Add the rows of a batch."""
        for name, flags in self._flags(rows).items():
            self._shares.setdefault(name, RunningShare()).add(flags)

    def _flags(self, rows: Rows) -> dict[str, np.ndarray]:
        spec, flags = self._spec, dict[str, np.ndarray]()
        if "label_agreement" in spec.measures:
            flags["label_agreement"] = rows["label"] == rows["prediction"]
        if "memorisation" in spec.measures:
            flags["memorised_share"] = Nearest.from_columns(rows, "training").memorised
            flags["near_copy_share"] = is_near(rows["training_distance"], self._pixels, spec.near_copy)
        if "duplicates" in spec.measures:
            flags["near_duplicate_share"] = is_near(rows["earlier_distance"], self._pixels, spec.near_copy)
        return flags

    def record(self, done: int) -> None:
        """One point of each metric, over the first ``done`` images, which have been taken in."""
        for name, share in self._shares.items():
            share.record(self._recorder, name, done)


def report_labels(recorder: Recorder, table: ResultTable, measured: MeasuredSet, judge: str) -> None:
    """Agreement of labels as a whole and by class, and images that show another class than they should."""
    labels, predictions = table["label"], table["prediction"]
    recorder.result("label_agreement", agreement_measure(labels, predictions, classifier=judge))
    by_class = agreement_by_class(labels, predictions)
    recorder.curve(
        "label_agreement_by_class", len(table), by_class.labels.astype(np.float64), by_class.shares, by_class.low,
        by_class.high, x_label="class", y_label="label agreement", interval="Wilson 95 %",
    )  # fmt: skip
    if len(by_class.labels) <= MOST_CLASSES:
        for label in by_class.labels.tolist():
            own = labels == label
            recorder.result(
                f"label_agreement_class_{label}", agreement_measure(labels[own], predictions[own], classifier=judge)
            )
    wrong = np.flatnonzero(labels != predictions)[:SHOWN_DISAGREEMENTS]
    if len(wrong):
        captions = [f"label {labels[row]}, seen as {predictions[row]}" for row in wrong]
        recorder.images("disagreements", len(table), measured.images[wrong], captions)


def report_neighbours(
    spec: MeasureSpec, recorder: Recorder, table: ResultTable, measured: MeasuredSet, device: torch.device
) -> None:
    """What distances between pixels tell: memories, copies, nearness to the training images, repetitions."""
    if measured.held_out is not None:
        _report_memorisation(spec, recorder, table, measured, measured.held_out, device)
    if "duplicates" in spec.measures:
        _report_duplicates(spec, recorder, table, measured)


def _report_memorisation(
    spec: MeasureSpec,
    recorder: Recorder,
    table: ResultTable,
    measured: MeasuredSet,
    held_out: ImageSet,
    device: torch.device,
) -> None:
    nearest, pixels = Nearest.from_columns(table, "training"), int(np.prod(measured.images.shape[1:]))
    others = nearest_among(
        pixel_points(held_out.images, device), pixel_points(measured.training.images, device),
        recorder.check_stop,
    ).distance  # fmt: skip
    name = measured.training.name
    sizes = {"training": f"{counted(len(measured.training), 'image')} of {name}"}
    equal = min(len(measured.training), len(held_out))
    compared = {
        "training": f"{counted(equal, 'image')} of {name}",
        "held_out": counted(equal, f"{spec.held_out} image"),
    }
    # How many images were generated makes no difference to any of these; their n says it.
    results: dict[str, Measure] = {
        "memorised_share": memorised_measure(nearest, **sizes),
        "near_copy_share": near_copy_measure(nearest.distance, pixels, spec.near_copy, "a training image", **sizes),
        "training_to_held_out_ratio": closeness_ratio_measure(
            Nearest.from_columns(table, "equal_training"), Nearest.from_columns(table, "equal_held_out"), **compared
        ),
    }
    if len(table) > 1:
        results["copying_probability"] = copying_measure(nearest.distance, others, spec.held_out, **sizes)
    for name, measure in results.items():
        recorder.result(name, measure)

    grid = np.linspace(0, max(nearest.distance.max(), others.max()), CURVE_POINTS)
    for name, distances in (("generated", nearest.distance), (f"held_out_{spec.held_out}", others)):
        counts = np.searchsorted(np.sort(distances), grid, side="right")
        interval = wilson(counts, len(distances), LEVEL)
        recorder.curve(
            f"distance_to_training_{name}", len(table), grid, counts / len(distances), interval.low, interval.high,
            x_label="l2 distance to the nearest training image ([0,1] intensity)", y_label="share of images within",
            interval="Wilson 95 %, pointwise",
        )  # fmt: skip
    _picture_memories(spec, recorder, table, measured, nearest, pixels)


def _picture_memories(
    spec: MeasureSpec, recorder: Recorder, table: ResultTable, measured: MeasuredSet, nearest: Nearest, pixels: int
) -> None:
    """The images that are most like one training image beside it: offenders first, then by distance."""
    copies, memories = is_near(nearest.distance, pixels, spec.near_copy), nearest.memorised
    shown = np.lexsort((nearest.distance, ~(copies | memories)))[:SHOWN_PAIRS]
    pairs, captions = [], []
    for row in shown:
        training = int(nearest.index[row])
        verdicts = [word for word, flag in (("copy", copies[row]), ("memory", memories[row])) if flag]
        pairs += [measured.images[row], measured.training.images[training]]
        captions += [
            f"generated {measured.labels[row]}, image {measured.index[row]}: {', '.join(verdicts) or 'neither'}",
            f"training image {measured.training.indices[training]}, a {measured.training.labels[training]}, "
            f"at distance {nearest.distance[row]:.3f}, the second at {nearest.second_distance[row]:.3f}",
        ]
    recorder.images("nearest_training", len(table), np.stack(pairs), captions)


def _report_duplicates(spec: MeasureSpec, recorder: Recorder, table: ResultTable, measured: MeasuredSet) -> None:
    distance, earlier = table["earlier_distance"], table["earlier_row"]
    pixels = int(np.prod(measured.images.shape[1:]))
    sizes = {"generated": counted(len(table), "image")}
    what = "images equal, pixel by pixel, to an earlier one of the set"
    recorder.result("duplicate_share", share_measure(distance == 0, **stated(what, **sizes)))
    recorder.result(
        "near_duplicate_share",
        near_copy_measure(distance, pixels, spec.near_copy, "an earlier one of the set", **sizes),
    )
    near = np.flatnonzero(is_near(distance, pixels, spec.near_copy))
    near = near[np.argsort(distance[near], kind="stable")][:SHOWN_PAIRS]
    if len(near):
        rows = np.stack([near, earlier[near]], axis=1).reshape(-1)
        captions = [f"generated {measured.labels[row]}, image {measured.index[row]}" for row in rows]
        captions[1::2] = [
            f"{caption}, at distance {gap:.3f}" for caption, gap in zip(captions[1::2], distance[near], strict=True)
        ]
        recorder.images("duplicates", len(table), measured.images[rows], captions)
