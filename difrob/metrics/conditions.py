"""Under which conditions a number was measured, in words that can be compared."""

from __future__ import annotations

import hashlib

from difrob.runs.datasets import DataSetRecord

DIGEST_DIGITS = 12


def stated(what: str, /, **conditions: str) -> str:
    """A description that a comparison can read: ``what; name: value; ...``.

    Numbers whose conditions differ must not be put side by side without a warning; :mod:`difrob.comparison` finds the
    differences in these descriptions. So a condition says how something was measured, never what came out.

    Args:
        what: what was measured.
        conditions: e.g. ``generated="500 images"``; underscores in names become spaces. Separators inside a value, which
            may hold names that a person gave, become commas; empty values are left out.

    Raises:
        ValueError: when ``what`` holds a separator.
    """
    if ";" in what or ": " in what:
        raise ValueError(f"the description '{what}' holds a separator")
    clauses = [f"{name.replace('_', ' ')}: {value.replace(';', ',')}" for name, value in conditions.items() if value]
    return "; ".join([what, *clauses])


def data_set_condition(record: DataSetRecord, split: str) -> str:
    """``digits (d15b1ecc2d01)``: the name of a data set, and the first digits of a digest of the split that is measured on.

    Comparisons go by the digest: the same images may be registered under two names, and two sets under one in two
    workspaces. Of a set that stores no digests of its splits it is that of the whole; toys, which store none, have a name only.
    """
    known = record.splits[split].digests if split in record.splits else {}
    digest = record.digest
    if known:
        text = "".join(f"{array}={value}\n" for array, value in sorted(known.items()))
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{record.name} ({digest[:DIGEST_DIGITS]})" if digest else record.name


def counted(count: int, noun: str) -> str:
    """``1 image``, ``1,000 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
