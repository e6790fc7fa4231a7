"""How a result says under which conditions it was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from difrob.quantities.conditions import DATA_SET
from difrob.runs.datasets import DataSetRecord
from difrob.specs import AttackSpec

DIGEST_DIGITS = 12


class Stated(TypedDict):
    """The two fields of a :class:`~difrob.runs.Measure` that say what it is: ``Measure(0.5, **stated(...))``."""

    description: str
    conditions: dict[str, Any]


NOTHING: Stated = {"description": "", "conditions": {}}


def stated(what: str, /, **conditions: Any) -> Stated:
    """What was measured, in words, and under which conditions, as plain data; see :mod:`difrob.quantities.conditions`.

    Args:
        what: what was measured; "" where the conditions say it.
        conditions: e.g. ``sigma=0.25``, ``features="pca, 32 features"``; None and "" are left out.
    """
    return {
        "description": what,
        "conditions": {name: value for name, value in conditions.items() if value not in ("", None)},
    }


def data_set_condition(record: DataSetRecord, split: str) -> dict[str, str]:
    """``{"name": "digits", "digest": "d15b1ecc2d01"}``: a data set, and the first digits of a digest of the measured split.

    Comparisons go by the digest: the same images may be registered under two names, and two sets under one in two
    workspaces. Of a set that stores no digests of its splits it is that of the whole; toys, which store none, have a name only.
    """
    known = record.splits[split].digests if split in record.splits else {}
    digest = record.digest
    if known:
        text = "".join(f"{array}={value}\n" for array, value in sorted(known.items()))
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return {"name": record.name, "digest": digest[:DIGEST_DIGITS]}


def measured_images(indices: np.ndarray, split: str, record: DataSetRecord) -> dict[str, Any]:
    """The images that a number was measured on: how many, which ones, of what.

    Args:
        indices: their places in the split, int64 [n].
        split: e.g. ``test``.
        record: of the data set.
    """
    return {
        "images": len(indices), "split": split, "indices": indices_condition(indices),
        DATA_SET: data_set_condition(record, split),
    }  # fmt: skip


def attack_conditions(attack: AttackSpec, losses: Sequence[str], restarts: int) -> dict[str, Any]:
    """An attack as conditions: its losses, the ball, and how it climbs.

    Args:
        losses: what is climbed, one after the other, e.g. ``("cross_entropy", "margin")``.
        restarts: of each loss; without a random start there is one.
    """
    return {
        "attack": "PGD", "attack_losses": list(losses), "norm": attack.norm, "eps": attack.eps,
        "attack_steps": attack.steps, "step_size": attack.resolved_step_size,
        "restarts": restarts if attack.random_start else 1, "random_start": attack.random_start,
    }  # fmt: skip


def indices_condition(indices: np.ndarray) -> str:
    """Which images of a split, int64 [n], in 12 digits: alike for the same images in whatever order."""
    return hashlib.blake2b(np.sort(indices.astype("<i8")).tobytes(), digest_size=6).hexdigest()


def counted(count: int, noun: str) -> str:
    """``1 image``, ``1,000 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
