"""Image sets: reading, splitting, and the conversions between bytes and tensors."""

from __future__ import annotations

from typing import Literal, Protocol

from difrob.data.augmentation import Augmentation
from difrob.data.device_images import DeviceImages
from difrob.data.digits import digits
from difrob.data.images import ImageSet, as_float, as_uint8
from difrob.data.order import EpochOrder
from difrob.data.splitting import balanced_order
from difrob.data.stored import stored_split
from difrob.errors import UserError
from difrob.inputs.misfits import refuse, too_large_subset
from difrob.runs.datasets import DIGITS, DataSetRecord
from difrob.specs.parts import DataSpec

Split = Literal["train", "validation", "test"]

__all__ = [
    "Augmentation",
    "DataSetSource",
    "DeviceImages",
    "EpochOrder",
    "ImageSet",
    "Split",
    "as_float",
    "as_uint8",
    "load_split",
]


class DataSetSource(Protocol):
    """Whoever knows the data sets: the recorder of a run (which notes what was read), or a workspace."""

    def data_set(self, name: str) -> DataSetRecord:
        """The record of a data set. UserError when there is none of that name."""
        ...


def load_split(source: DataSetSource, data: DataSpec, split: Split | str, apply_subset: bool = True) -> ImageSet:
    """Images of one split; of ``"train"`` only the class-balanced subset that ``data.train_size`` asks for.

    Args:
        source: where data sets are looked up; a job gives its recorder.
        data: which data set, and which subset of its training images.
        split: ``"train"``, ``"validation"`` or ``"test"``, which never overlap; or a further split of a stored set, e.g.
            ``"fog-3"``.
        apply_subset: False gives the whole training split in any case.

    Raises:
        UserError: for an unknown data set or split, for one of corrupted test images alone unless it is asked for a split
            that it has, or when more training images are asked for than there are.
    """
    images = _whole_split(source.data_set(data.dataset), split)
    if split != "train" or not apply_subset or data.train_size is None:
        return images
    refuse(too_large_subset(data.train_size, len(images), data.dataset))
    chosen = balanced_order(images.labels, data.subset_seed)[: data.train_size]
    return images.take(chosen)


def _whole_split(record: DataSetRecord, split: str) -> ImageSet:
    if record.is_points:
        raise UserError(
            f"'{record.name}' are points, of which only diffusion models learn; choose a data set of images"
        )
    if split not in record.splits and record.is_corrupted:
        record.require_fit_for("images")
    if record.name != DIGITS.name:
        return stored_split(record, split)
    splits = digits()
    if split not in splits:
        raise UserError(f"unknown split '{split}'; known splits: {', '.join(splits)}")
    return splits[split]
