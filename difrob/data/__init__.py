"""Image sets: reading, splitting, and the conversions between bytes and tensors."""

from __future__ import annotations

from typing import Literal

from difrob.data.digits import digits
from difrob.data.images import ImageSet, as_float, as_uint8
from difrob.data.order import EpochOrder
from difrob.data.splitting import balanced_order
from difrob.errors import UserError
from difrob.specs.parts import DataSpec

Split = Literal["train", "validation", "test"]

__all__ = ["EpochOrder", "ImageSet", "Split", "as_float", "as_uint8", "load_split"]


def load_split(data: DataSpec, split: Split, apply_subset: bool = True) -> ImageSet:
    """Images of one split; of ``"train"`` only the class-balanced subset that ``data.train_size`` asks for.

    Args:
        data: which data set, and which subset of its training images.
        split: ``"train"``, ``"validation"`` or ``"test"``; they never overlap.
        apply_subset: False gives the whole training split in any case.

    Raises:
        UserError: for an unknown split, or when more training images are asked for than there are.
    """
    readers = {"digits": digits}
    splits = readers[data.dataset]()
    if split not in splits:
        raise UserError(f"unknown split '{split}'; known splits: {', '.join(splits)}")
    images = splits[split]
    if split != "train" or not apply_subset or data.train_size is None:
        return images
    if data.train_size > len(images):
        raise UserError(
            f"train_size = {data.train_size} is more than the {len(images)} training images of '{data.dataset}'; "
            "lower it, or leave it empty for all"
        )
    chosen = balanced_order(images.labels, data.subset_seed)[: data.train_size]
    return images.take(chosen)
