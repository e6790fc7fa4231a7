"""What a reader gets out of a run, live or finished, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from difrob.runs.interface import Measure
from difrob.runs.states import RunState

if TYPE_CHECKING:  # whoever only lists runs needs none of the arrays
    import numpy as np

_SERIES_FIELDS = ("step", "time", "value", "low", "high")
SERIES_WORDS = ("interval", "title", "unit", "better")


@dataclass(frozen=True)
class Series:
    """Points of one metric in order of recording; ``low`` and ``high`` are NaN where no interval was given.

    All arrays are float64 [n] (``step`` int64); ``time`` is seconds since the epoch. ``interval`` says what ``low`` and
    ``high`` are, e.g. ``"Wilson 95 %"``; "" where nobody said (and in files of schema version 1). ``title``, ``unit`` and
    ``better`` say what the numbers are, as declared when they were recorded; "" in files of schema versions below 3.
    """

    step: np.ndarray
    time: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    interval: str = ""
    title: str = ""
    unit: str = ""
    better: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether any point carries an interval, or one end of it."""
        import numpy as np

        return not bool(np.isnan(self.low).all() and np.isnan(self.high).all())

    def joined(self, other: Series) -> Series:
        """This series followed by ``other``, whose word about what the numbers are counts where it says any."""
        import numpy as np

        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _SERIES_FIELDS
        }
        said = {name: getattr(other, name) or getattr(self, name) for name in SERIES_WORDS}
        return replace(self, **columns, **said)

    def until(self, step: int) -> Series:
        """The points up to and including ``step``."""
        keep = self.step <= step
        return replace(self, **{name: getattr(self, name)[keep] for name in _SERIES_FIELDS})


@dataclass(frozen=True)
class Curve:
    """A curve y(x) as it stood at ``step``; ``low``/``high`` are None without an interval.

    ``title``, ``unit`` (of y) and ``better`` say what it is, as declared when it was recorded.
    """

    name: str
    step: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    x_label: str = "x"
    y_label: str = "y"
    interval: str = ""
    title: str = ""
    unit: str = ""
    better: str = ""


@dataclass(frozen=True)
class Pictures:
    """A batch of pictures, uint8 [N,H,W,C], with one caption each (or none)."""

    name: str
    step: int
    images: np.ndarray
    captions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log; ``time`` in seconds since the epoch."""

    time: float
    level: str
    text: str


@dataclass(frozen=True)
class Progress:
    """How far a run is; ``seconds_left`` is None until it can be told."""

    done: int = 0
    total: int = 0
    unit: str = "steps"
    seconds_left: float | None = None


@dataclass(frozen=True)
class RunSummary:
    """What a table of runs shows of one run. Times are seconds since the epoch.

    ``reason`` says in one sentence why a run ended other than finished, ``cause`` in one word (see
    :class:`difrob.runs.causes.Cause`). ``parents`` maps spec fields to run ids. ``written_as`` is the id that stands in a
    file which is called otherwise, as a copied or renamed one is; ``copy_of`` is the id of the run that such a file repeats,
    where the list that it stands in has that, too.
    """

    run_id: str
    kind: str
    name: str
    state: RunState
    reason: str = ""
    cause: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    progress: Progress = Progress()
    results: dict[str, Measure] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    host: str = ""
    device: str = ""
    has_checkpoint: bool = False
    size: int = 0
    damaged: bool = False
    written_as: str = ""
    copy_of: str = ""


@dataclass(frozen=True)
class SignOfLife:
    """What a live run tells whoever looks on, a few times a second.

    Attributes:
        progress: how far it is.
        headline: newest value of each metric.
        waiting: what it waits for, "" if for nothing.
        beats: number of signs of life from the job itself; it stands still while the job hangs.
        report_within: seconds from now within which there will be another beat; None while paused or waiting.
    """

    progress: Progress
    headline: dict[str, float]
    waiting: str = ""
    beats: int = 0
    report_within: float | None = None


@dataclass(frozen=True)
class FeedUpdate:
    """What is new in a run since the last look.

    With ``reset`` the receiver forgets what it had and starts over from this update. ``metrics`` and ``log`` are to be
    appended; a curve replaces an earlier one of its name, pictures those of their name and step (if there are any; else
    they are appended). ``summary`` is always the latest, with all results so far.
    """

    summary: RunSummary
    reset: bool = False
    metrics: dict[str, Series] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)
    pictures: list[Pictures] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing but the summary."""
        return not (self.reset or self.metrics or self.curves or self.pictures or self.log)
