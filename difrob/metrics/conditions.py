"""Under which conditions a number was measured, in words that can be compared."""

from __future__ import annotations


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


def counted(count: int, noun: str) -> str:
    """``1 image``, ``1,000 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
