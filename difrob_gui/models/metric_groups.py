"""Which metrics belong into one chart, and how charts and curves are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from difrob.words import measure_name
from difrob_gui.charts.ticks import Scale

_SHARES = ("accuracy", "agreement", "attack_success", "abstentions", "share", "coverage")
_DIFFERENCES = ("generalisation_gap", "robust_overfitting")  # of two accuracies, so in percentage points
_LEADING = ("accuracy", "loss", "loss parts", "shares")
_TRAILING = ("gradient_norm", "learning_rate", "momentum", "distance_to_average", "images_per_second")
FEATURES = "features/"  # numbers of unlike units about the features: each a chart of its own, behind how training goes
ALIGNMENT = "alignment/cosine"
PENALTY = "loss/penalty"  # in units of its own: beside the parts of the loss its curve would be flat, or theirs
MOST_PARTS = 2  # not a number of losses: parts are there from the first step, validation losses come later


@dataclass(frozen=True)
class ChartPlan:
    """One chart: ``key`` names it, ``names`` are its metrics in the order of their styles."""

    key: str
    title: str
    scale: Scale
    names: tuple[str, ...]


def plan_charts(names: Iterable[str]) -> list[ChartPlan]:
    """Charts for these metrics: accuracies together, losses together, anything else by the last part of its name."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of(name), []).append(name)

    losses = groups.get("loss", [])
    parts = [name for name in losses if name.startswith("loss/")]
    if len(parts) > MOST_PARTS and len(parts) < len(losses):
        groups["loss"] = [name for name in losses if name not in parts]
        groups["loss parts"] = parts

    def rank(key: str) -> tuple[int, int, str]:
        if key in _LEADING:
            return 0, _LEADING.index(key), key
        if key in _TRAILING:
            return 2, _TRAILING.index(key), key
        return 1, int(key.startswith(FEATURES)), key

    titles = {"accuracy": "Accuracy", "loss": "Loss", "loss parts": "Parts of the loss", "shares": "Shares"}
    return [
        ChartPlan(key, titles.get(key, words(key)), scale_of(groups[key][0]), tuple(sorted(groups[key], key=_order)))
        for key in sorted(groups, key=rank)
    ]


def group_of(name: str) -> str:
    """Key of the chart that a metric belongs to."""
    first, last = name.split("/")[0], name.rsplit("/", 1)[-1]
    if name == PENALTY or name.startswith(FEATURES):
        return name
    if last.endswith("accuracy"):
        return "accuracy"
    if first == "loss" or last.endswith("loss"):
        return "loss"
    if scale_of(name) is Scale.SHARE:
        return "shares"
    return last


def scale_of(name: str) -> Scale:
    """Accuracies and other shares run from 0 to 100 %, their differences either way; anything else is a plain number."""
    if name.rsplit("/", 1)[-1].endswith(_DIFFERENCES):
        return Scale.POINTS
    return Scale.SHARE if name.rsplit("/", 1)[-1].endswith(_SHARES) else Scale.NUMBER


def label_of(name: str) -> str:
    """What a legend calls a metric: ``validation/robust_accuracy`` is ``robust, validation``."""
    *place, last = name.split("/")
    if name == PENALTY:
        return measure_name(name)
    if name == ALIGNMENT:
        return measure_name(last)
    if place == ["loss"]:
        return f"{words(last).lower()} part"
    text = measure_name(last.removesuffix("_accuracy") if last.endswith("_accuracy") else last)
    return f"{text}, {' '.join(place)}" if place else text


def words(name: str) -> str:
    """``gradient_norm`` as ``Gradient norm``."""
    text = measure_name(name)
    return text[:1].upper() + text[1:]


def full_name(name: str) -> str:
    """A metric where it stands alone: ``validation/robust_accuracy`` is ``Robust accuracy (validation)``.

    Numbers of features have names of their own, too long for a place behind them, and so has the cosine of an alignment.
    """
    *place, last = name.split("/")
    if name == ALIGNMENT or name.startswith(FEATURES):
        return words(last)
    return f"{words(last)} ({' '.join(place)})" if place else words(last)


def interval_of(name: str) -> str:
    """What the intervals of a metric are where its file does not say (schema version 1)."""
    return "Wilson 95 %" if scale_of(name) is Scale.SHARE else "Student t 95 %"


def _order(name: str) -> tuple[int, str]:
    """Robust before clean, validation before training: the first colours go to what matters most."""
    wanted = ("validation/robust", "robust", "validation/clean", "clean", "validation")
    for place, start in enumerate(wanted):
        if name.startswith(start):
            return place, name
    return len(wanted), name
