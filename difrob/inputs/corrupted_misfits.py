"""Why a data set of corrupted test images cannot be what a classifier is evaluated on, in words; "" where it can.

Like :mod:`difrob.inputs.misfits`: asked of the records before a run exists, and by the job of what it has opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from difrob.inputs.misfits import NAMED, too_many
from difrob.runs.datasets import SEVERITIES, DataSetRecord, split_name

# The authors keep these four for development and validation; the published means are over the other fifteen.
EXTRA_CORRUPTIONS = ("gaussian_blur", "saturate", "spatter", "speckle_noise")


def chosen_corruptions(record: DataSetRecord, *, with_extras: bool) -> tuple[str, ...]:
    """The corruptions of a data set that are measured, in its order."""
    return tuple(name for name in record.corruptions if with_extras or name not in EXTRA_CORRUPTIONS)


def chosen_splits(record: DataSetRecord, *, with_extras: bool) -> list[str]:
    """The splits that they are in: all severities of the first corruption, then of the next."""
    chosen = chosen_corruptions(record, with_extras=with_extras)
    return [split_name(corruption, level + 1) for corruption in chosen for level in range(SEVERITIES)]


def unequal_versions(record: DataSetRecord, *, with_extras: bool) -> str:
    """Why the corruptions cannot be measured together: there is none, or they are of different images."""
    names = chosen_splits(record, with_extras=with_extras)
    if not names:
        return (
            f"data set '{record.name}' has only corruptions that are meant for development "
            f"({', '.join(record.corruptions)}); switch corruption_extras on to measure on them"
        )
    counts = {record.splits[name].images for name in names}
    if len(counts) == 1:
        return ""
    return (
        f"the corruptions of data set '{record.name}' have {min(counts)} to {max(counts)} images, so they are no versions of "
        "the same ones; make them anew and add the set again"
    )


def too_many_versions(record: DataSetRecord, images: int | None, *, with_extras: bool) -> str:
    """Why there are not as many images of each corruption; for a set that :func:`unequal_versions` has no word for."""
    first = chosen_splits(record, with_extras=with_extras)[0]
    of_what = f"images of each corruption and severity in '{record.name}'"
    return too_many("corruption_images", images, record.splits[first].images, of_what)


def other_shape(record: DataSetRecord, image_shape: Sequence[int]) -> str:
    """Why a classifier of images (C, H, W) cannot see corrupted ones."""
    if tuple(record.image_shape) == tuple(image_shape):
        return ""
    theirs, ours = (_size(shape) for shape in (record.image_shape, image_shape))
    return (
        f"the images of '{record.name}' have {theirs}, those of the classifier {ours}; name the corrupted version of the data "
        "set that it was trained on"
    )


def other_classes(record: DataSetRecord, num_classes: int, known: Sequence[str]) -> str:
    """Why a classifier of K classes, whose data set calls them so, cannot tell the classes of corrupted images."""
    if record.num_classes == num_classes and _may_be_alike(record.class_names, list(known)):
        return ""
    return (
        f"the classes of '{record.name}' ({_some(record.class_names)}) are not those of the classifier ({_some(known)}); name "
        "the corrupted version of the data set that it was trained on"
    )


def _may_be_alike(names: list[str], known: list[str]) -> bool:
    """Whether two lists may name the same classes: they are equal, or one has only numbers in their place."""
    numbers = [str(number) for number in range(len(names))]
    return names == known or (numbers in (names, known) and sorted(names) != sorted(known))


def _size(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{height}x{width} pixels of {channels} {'channel' if channels == 1 else 'channels'}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown}, ... ({len(names)} in all)"
