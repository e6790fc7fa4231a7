"""What records of earlier versions said in prose, and what is data today. Only records that have no data are read so."""

from __future__ import annotations

import re
from typing import Any

from difrob.quantities.conditions import DATA_SET
from difrob.quantities.features import FEATURES_IN_TRAINING
from difrob.quantities.registry import quantity_of

_NAMED = re.compile(r"^(?P<name>.*) \((?P<digest>[0-9a-f]{12})\)$")
# One name was given to two quantities; by the kind of run they can be told apart.
_RENAMED = {("generate", "duplicate_share"): "exact_copy_share"}

# A result that told how others were measured, which tell it themselves today.
FEATURES_MEASURED = "features_measured"


def is_measured_with_features(name: str) -> bool:
    """Whether the conditions of a result are those that :data:`FEATURES_MEASURED` told."""
    return quantity_of(name).concerns == FEATURES_IN_TRAINING


def name_today(kind: str, name: str) -> str:
    """How a result of an earlier record is called today."""
    return _RENAMED.get((kind, name), name)


def parted(description: str, unit: str) -> tuple[str, dict[str, Any]]:
    """The description and the conditions of a result that stated both as ``what; name: value; ...``.

    A check says in words what it found, not how something was measured: it has no conditions.
    """
    if unit == "passed":
        return description, {}
    what, *clauses = description.split("; ")
    parts = [clause.partition(": ") for clause in clauses]
    conditions: dict[str, Any] = {name.replace(" ", "_"): value for name, colon, value in parts if colon}
    if DATA_SET in conditions:
        named = _NAMED.match(conditions[DATA_SET])
        conditions[DATA_SET] = named.groupdict() if named else {"name": conditions[DATA_SET], "digest": ""}
    said_only = [clause for clause, (_, colon, _) in zip(clauses, parts, strict=True) if not colon]
    return "; ".join([what, *said_only]), conditions
