"""How window and command line write kinds, states, times and results in words: one place, so that all tables agree.

Specifications are imported where a kind is asked for: they need pydantic, for which a mere list of runs does not wait.
"""

from __future__ import annotations

import math
import re
import time
from functools import cache

from difrob.quantities import SHARE, SHARE_DIFFERENCE
from difrob.resources import resource_path
from difrob.runs import Measure, RunState

# Numbers that are kept as fractions of one: accuracies, and differences of two of them, which are no shares themselves.
_PER_CENT = {SHARE: "%", SHARE_DIFFERENCE: "points"}
_TIME = re.compile(r"^\d{8}T\d{6}Z-")


def kind_word(kind: str) -> str:
    """A short noun for a run of this kind, e.g. ``Classifier``."""
    from difrob.specs import KINDS

    spec = KINDS.get(kind)
    return spec.noun if spec is not None and spec.noun else kind.replace("_", " ").capitalize()


def kind_title(kind: str) -> str:
    """The title of the kind's specification, e.g. ``Train a robust classifier``."""
    from difrob.specs import KINDS

    spec = KINDS.get(kind)
    return spec.title if spec is not None and spec.title else kind_word(kind)


def kind_icon(kind: str) -> str:
    """Name of the icon of a kind; a plain one where there is none of the name that its specification gives."""
    from difrob.specs import KINDS, JobSpec

    spec = KINDS.get(kind)
    return spec.icon if spec is not None and _is_icon(spec.icon) else JobSpec.icon


@cache
def _is_icon(name: str) -> bool:
    return resource_path("icons", f"{name}.svg").is_file()


def state_word(state: RunState) -> str:
    """The state as a word that begins a cell."""
    return str(state.value).capitalize()


def run_title(name: str, run_id: str) -> str:
    """The name of a run; for an unnamed one its id without the time, which stands elsewhere."""
    return name or _TIME.sub("", run_id) or run_id


def duration(seconds: float | None) -> str:
    """A span as ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``; empty when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def age(since: float, now: float | None = None) -> str:
    """How long ago, in the largest unit only: ``now``, ``5 min``, ``3 h``, ``2 d``."""
    if since <= 0:
        return ""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def is_per_cent(unit: str) -> bool:
    """Whether numbers of this unit are kept as fractions and shown a hundred times as large, with the unit in the text."""
    return unit in _PER_CENT


def unit_text(unit: str) -> str:
    """What stands behind a number and its interval; empty where :func:`number` has said it."""
    return "" if is_per_cent(unit) else unit


def number(value: float, unit: str = "") -> str:
    """A number as tables show it; shares as per cent, differences of shares in percentage points."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if is_per_cent(unit):
        return f"{100 * value:.1f} {_PER_CENT[unit]}"
    if value == round(value) and 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}"  # a count, in full
    return f"{value:.4g}"


def interval(measure: Measure) -> str:
    """``[50.1, 58.2]`` in the measure's unit, or empty without an interval."""
    if measure.low is None or measure.high is None:
        return ""
    factor, form = (100.0, ".1f") if is_per_cent(measure.unit) else (1.0, ".3g")
    return f"[{factor * measure.low:{form}}, {factor * measure.high:{form}}]"


def plural(count: int, noun: str) -> str:
    """``1 run``, ``3 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
