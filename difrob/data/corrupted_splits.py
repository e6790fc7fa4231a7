"""Test images under common corruptions (Hendrycks & Dietterich 2019): one split for each corruption and severity.

CIFAR-10-C and folders like it hold the same test images under each corruption in five severities. Their splits are called
``fog-1`` (mild) to ``fog-5`` (severe), and row n of every split shows the same image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob.data.images import ImageSet
from difrob.data.stored import stored_split
from difrob.errors import UserError
from difrob.inputs.corrupted_misfits import chosen_corruptions, chosen_splits, too_many_versions, unequal_versions
from difrob.inputs.misfits import refuse
from difrob.runs.datasets import SEVERITIES, DataSetRecord, split_name


@dataclass(frozen=True)
class CorruptedImages:
    """The same images under several corruptions in five severities each.

    Attributes:
        record: the data set.
        corruptions: their names, in the order of the data set.
        labels: int64 [n], of the first n images of every split.
    """

    record: DataSetRecord
    corruptions: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        """Images in all: corruptions x 5 severities x n."""
        return len(self.corruptions) * SEVERITIES * len(self.labels)

    def place(self, position: int) -> tuple[str, int, int]:
        """(corruption, severity, row) of the image at a position; corruptions, severities and rows follow in order."""
        split, row = divmod(position, len(self.labels))
        corruption, severity = divmod(split, SEVERITIES)
        return self.corruptions[corruption], severity + 1, row

    def split(self, corruption: str, severity: int) -> ImageSet:
        """One split whole, mapped and not read. UserError when its files are damaged."""
        return stored_split(self.record, split_name(corruption, severity))


def open_corrupted(record: DataSetRecord, images: int | None = None, *, with_extras: bool = False) -> CorruptedImages:
    """The corrupted images of a data set, their labels held against each other; no image is read.

    Args:
        record: the data set.
        images: take the first so many of each corruption and severity; None for all.
        with_extras: take the corruptions that the authors keep for development, too.

    Raises:
        UserError: for a data set without such splits or of points, for splits that are no versions of the same images, and
            when more images are asked for than there are.
    """
    record.require_fit_for("corruptions")
    refuse(unequal_versions(record, with_extras=with_extras))
    refuse(too_many_versions(record, images, with_extras=with_extras))
    names = chosen_splits(record, with_extras=with_extras)
    labels = stored_split(record, names[0]).labels
    for name in names[1:]:
        if not np.array_equal(stored_split(record, name).labels, labels):
            raise UserError(
                f"the images of '{names[0]}' and '{name}' in data set '{record.name}' have different labels, so they are "
                "no versions of the same ones; make them anew and add the set again"
            )
    return CorruptedImages(record, chosen_corruptions(record, with_extras=with_extras), labels[:images])
