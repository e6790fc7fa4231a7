"""Accuracy of a classifier under common corruptions (Hendrycks & Dietterich 2019), as a part of ``evaluate``.

Nothing is attacked here. Every corruption and severity shows the same images, so the mean over them gets its interval from
the images (each has a share of corrupted versions that are classified rightly), not from their versions, which are far from
independent. A mean relative to AlexNet (mCE) is not computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from difrob.data import as_float
from difrob.data.corrupted_splits import SEVERITIES, CorruptedImages, open_corrupted
from difrob.errors import UserError
from difrob.inputs.corrupted_misfits import other_classes, other_shape
from difrob.inputs.misfits import refuse
from difrob.jobs.per_image import FilledArray, ResultTable
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import NONE, mean_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.intervals import wilson
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import DataSpec, EvaluateSpec

VERDICTS = "right_when_corrupted"
SHARE_OF_VERSIONS = "share of an image's corrupted versions that are classified rightly, unattacked"


def corrupted_images(
    spec: EvaluateSpec, recorder: Recorder, classifier: Classifier, learnt: DataSpec
) -> CorruptedImages | None:
    """The corrupted images that a specification names, checked against the classifier; None where it names none.

    Raises:
        UserError: for an unknown data set or one without corruptions, for images of another shape, for other classes than
            those of the data set that was learnt, and for more images than there are.
    """
    if not spec.corruptions:
        return None
    record = recorder.data_set(spec.corruptions)
    corrupted = open_corrupted(record, spec.corruption_images, with_extras=spec.corruption_extras)
    known = recorder.data_set(learnt.dataset).class_names
    refuse(other_shape(record, classifier.image_shape), other_classes(record, classifier.num_classes, known))
    return corrupted


@dataclass
class CorruptedAccuracy:
    """Goes through all corrupted images in order; what is done is kept in the checkpoints of the table.

    Attributes:
        classifier: in evaluation mode, on the device.
        corrupted: what it is asked about.
        table: the rows of the attacked images, beside which the verdicts are kept.
        pieces: how many images go through the network at once.
    """

    classifier: Classifier
    corrupted: CorruptedImages
    recorder: Recorder
    device: torch.device
    table: ResultTable
    pieces: MicroBatches
    _verdicts: FilledArray = field(init=False)

    def __post_init__(self) -> None:
        self._verdicts = self.table.beside(VERDICTS, len(self.corrupted), bool)

    @property
    def verdicts(self) -> np.ndarray:
        """Whether each image so far was classified rightly, bool [done]."""
        return self._verdicts.filled

    def measure(self, batch_size: int, total: int) -> None:
        """Classify every image that has no verdict yet, one batch in memory at a time.

        Args:
            batch_size: images that are read at once.
            total: how many images the whole job goes through, for its progress.

        Raises:
            UserError: when logits are not finite, or the files are damaged.
            Stopped: when asked to; the verdicts so far are beside the table then.
        """
        count, images = len(self.corrupted.labels), None
        while (done := len(self.verdicts)) < len(self.corrupted):
            self.recorder.check_stop()
            corruption, severity, row = self.corrupted.place(done)
            if images is None or row == 0:
                images = self.corrupted.split(corruption, severity).images
            rows = slice(row, min(row + batch_size, count))
            right = self.pieces.attempt(partial(self._right, images[rows], self.corrupted.labels[rows]))
            self._verdicts.append(right)
            if rows.stop == count:
                self._record_curve(corruption, severity)
            self.table.save_if_due()
            self.recorder.progress(len(self.table) + len(self.verdicts), total, "images")

    def _right(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether images uint8 [B,H,W,C] are given their labels [B]; bool [B]."""
        found = []
        for part in self.pieces.slices(len(images)):
            with torch.no_grad():
                logits = self.classifier(as_float(images[part], self.device))
            if not bool(logits.isfinite().all()):
                raise UserError("the classifier's logits are not finite on corrupted images; its training diverged")
            found.append(logits.argmax(1).cpu().numpy() == labels[part])
        return np.concatenate(found)

    def _record_curve(self, corruption: str, done: int) -> None:
        """Accuracy over the severities 1 to ``done`` of the corruption that has just been measured."""
        count = len(self.corrupted.labels)
        successes = self.verdicts[-done * count :].reshape(done, count).sum(axis=1)
        band = wilson(successes, count)
        self.recorder.curve(
            f"corruption/{corruption}_accuracy_over_severity", len(self.table) + len(self.verdicts),
            np.arange(1.0, done + 1), successes / count, band.low, band.high,
            x_label=f"severity of {corruption.replace('_', ' ')}", y_label="accuracy", interval="Wilson 95 %",
        )  # fmt: skip

    def report(self) -> None:
        """The means over severities and corruptions, and all counts."""
        corrupted, recorder = self.corrupted, self.recorder
        shape = (len(corrupted.corruptions), SEVERITIES, len(corrupted.labels))
        right = self.verdicts.reshape(shape)
        conditions = {
            "corrupted_set": corrupted.record.name,
            "digest": corrupted.record.digest,
            "corrupted_images": f"{counted(shape[2], 'image')} in {SEVERITIES} severities",
        }
        everything = ", ".join(corrupted.corruptions)
        measure = _mean_over_images(
            right.mean(axis=(0, 1)), **stated(SHARE_OF_VERSIONS, **conditions, corruptions=everything)
        )
        recorder.result("mean_corruption_accuracy", measure)
        for corruption, versions in zip(corrupted.corruptions, right, strict=True):
            alone = _mean_over_images(versions.mean(axis=0), **stated(SHARE_OF_VERSIONS, **conditions))
            recorder.result(f"corruption/{corruption}_accuracy", alone)
        levels = [_mean_over_images(right[:, level].mean(axis=0)) for level in range(SEVERITIES)]
        recorder.curve(
            "mean_corruption_accuracy_over_severity", len(self.table) + len(self.verdicts),
            np.arange(1.0, SEVERITIES + 1), np.array([level.value for level in levels]),
            *(_ends(levels) if shape[2] > 1 else (None, None)),
            x_label=f"severity, mean of {counted(shape[0], 'corruption')}", y_label="accuracy",
            interval="Student t 95 %",
        )  # fmt: skip
        counts = dict(zip(corrupted.corruptions, right.sum(axis=2).tolist(), strict=True))
        recorder.attribute(
            "corruption_counts", {"data_set": corrupted.record.name, "images": shape[2], "right_by_severity": counts}
        )


def _mean_over_images(shares: np.ndarray, description: str = "", conditions: Mapping[str, Any] = NONE) -> Measure:
    """The mean of one share per image, its interval cut to [0, 1]."""
    measure = mean_measure(shares, description, conditions, unit="share")
    if measure.low is None or measure.high is None:
        return measure
    return replace(measure, low=max(measure.low, 0.0), high=min(measure.high, 1.0))


def _ends(measures: list[Measure]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([measure.low for measure in measures]), np.array([measure.high for measure in measures])
