"""What a measured quantity is: its name, what it is called, in what unit, which way is better, and where it is drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

SHARE = "share"
SHARE_DIFFERENCE = "share difference"
PASSED = "passed"
OWN_CHART = ""

_HOLE = re.compile(r"\{(\w+)\}")


class Better(StrEnum):
    """Which way a quantity is better; NEITHER where it has no side, or where the best value lies between the ends."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"

    @property
    def sign(self) -> int:
        """1 where larger is better, -1 where smaller is, 0 where neither can be said."""
        return {Better.UP: 1, Better.DOWN: -1, Better.NEITHER: 0}[self]


class Scale(StrEnum):
    """How the numbers are drawn: ``PART`` are shares of which the range in use is shown, not all of 0 to 100 %, and
    ``POINTS`` differences of shares, which may be negative.
    """

    NUMBER = "number"
    SHARE = "share"
    PART = "part"
    POINTS = "points"
    LOG = "log"


class Place(StrEnum):
    """Where on the board of a run its chart stands, from the first to the last."""

    RESULT = "result"  # what the run is about: certified accuracy over the radius
    ACCURACY = "accuracy"
    LOSS = "loss"
    SHARES = "shares"
    OTHER = "other"
    FEATURES = "features"  # numbers of unlike units about features: behind how training goes
    TECHNICAL = "technical"  # rates, norms and speeds
    MOMENT = "moment"  # whole curves of one moment of a training: its metrics say how it goes


@dataclass(frozen=True)
class Quantity:
    """A number that runs measure, declared once for recorder, tables, charts and comparisons.

    Attributes:
        name: as it is recorded, e.g. ``validation/robust_accuracy``. A part in braces stands for what a run puts there:
            ``certified_accuracy_at_{radius}`` is declared once for all radii.
        title: in running text, e.g. ``robust accuracy (validation)``; holes are filled with what stands in the name.
        unit: ``share`` for numbers in [0,1] that are shown in per cent, ``share difference`` for what one has more than
            another, ``passed`` for the verdict of a check (1 or 0), else the unit in words; "" where it has none, or where it
            depends on the run, which then states it.
        better: which way is better.
        log: whether it is drawn on a logarithmic axis at first.
        narrow: whether a share is drawn in the range that it uses, since it is nearly always far from the whole.
        label: in the legend of a chart that several quantities share; the title where it is left out.
        chart: the chart that it shares with others (a name of :data:`difrob.quantities.charts.CHARTS`); one of its own
            where it is left out.
        place: where that chart stands.
        order: among the curves of its chart; the first get the first colours.
        rank: how well it stands for a whole run where there is room for one number, the lowest first; None: never.
        interval: what its intervals are, where a record does not say.
        concerns: the numbers that the conditions of this one matter for, where these are not all of its run.
        needs_equal_n: whether a value rests on its sample size so much that only equal sizes compare.
    """

    name: str
    title: str
    unit: str = ""
    better: Better = Better.NEITHER
    log: bool = False
    narrow: bool = False
    label: str = ""
    chart: str = OWN_CHART
    place: Place = Place.OTHER
    order: int = 100
    rank: int | None = 100
    interval: str = ""
    concerns: str = ""
    needs_equal_n: bool = False

    @property
    def scale(self) -> Scale:
        """How it is drawn, which follows from the unit."""
        if self.log:
            return Scale.LOG
        if self.narrow:
            return Scale.PART
        return {SHARE: Scale.SHARE, SHARE_DIFFERENCE: Scale.POINTS}.get(self.unit, Scale.NUMBER)

    @property
    def heading(self) -> str:
        """The title where it begins a line or stands alone."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def legend(self) -> str:
        """The title beside others of its chart."""
        return self.label or self.title

    @property
    def is_check(self) -> bool:
        """Whether it is a verdict, which is passed or not and never better than another."""
        return self.unit == PASSED

    @property
    def holes(self) -> list[str]:
        """The parts of the name that a run fills in."""
        return _HOLE.findall(self.name)

    @property
    def fixed_parts(self) -> list[str]:
        """The parts of the name that are the same in all runs."""
        return _HOLE.split(self.name)[::2]

    def filled(self, name: str) -> Quantity | None:
        """This quantity as it is recorded under ``name``; None where the name is another's."""
        if not self.holes:
            return self if name == self.name else None
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        said = {hole: text.replace("_", " ") for hole, text in found.groupdict().items()}
        return replace(self, name=name, title=self.title.format(**said), label=self.label.format(**said))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = _HOLE.split(self.name)  # text, hole, text, hole, ..., text
        return re.compile("".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))
