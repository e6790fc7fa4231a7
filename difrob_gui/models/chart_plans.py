"""Which metrics and curves share a chart, and in which order the charts of a run stand, as their quantities declare it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from difrob.quantities import CHARTS, Place, Quantity
from difrob_gui.charts.ticks import Scale

_PLACES = list(Place)


@dataclass(frozen=True)
class ChartPlan:
    """One chart: ``key`` names it, ``quantities`` are drawn in it in the order of their styles."""

    key: str
    title: str
    scale: Scale
    quantities: tuple[Quantity, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What is drawn in it, by the names of the records."""
        return tuple(quantity.name for quantity in self.quantities)

    @property
    def rank(self) -> tuple[int, int, str]:
        """Where it stands among others: by its place, then by the first of its quantities, then by its key."""
        first = self.quantities[0]
        return _PLACES.index(first.place), first.order, self.key


def plan_charts(quantities: Iterable[Quantity]) -> list[ChartPlan]:
    """Charts for these metrics: one for all that name the same chart, one each for the others."""
    groups: dict[str, list[Quantity]] = {}
    for quantity in quantities:
        groups.setdefault(quantity.chart or quantity.name, []).append(quantity)
    for key, chart in CHARTS.items():
        few = len(groups.get(key, ())) < chart.alone_from
        if chart.joins and key in groups and (few or chart.joins not in groups):
            groups.setdefault(chart.joins, []).extend(groups.pop(key))
    plans = []
    for key, group in groups.items():
        members = tuple(sorted(group, key=lambda quantity: (quantity.order, quantity.name)))
        title = CHARTS[key].title if key in CHARTS and len(members) > 1 else members[0].heading
        plans.append(ChartPlan(key, title, scale_of(members[0]), members))
    return sorted(plans, key=lambda plan: plan.rank)


def scale_of(quantity: Quantity) -> Scale:
    """How an axis shows it."""
    return Scale(quantity.scale.value)
