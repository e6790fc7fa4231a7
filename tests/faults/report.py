"""What a campaign of faults found, added up over threads, and the table that it prints."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One row of the table; None where a column has no meaning for the fault."""

    injected: int = 0
    readable: int | None = None
    rows_lost: int | None = None
    resumed: int | None = None
    resumable: int | None = None

    def add(self, *, injected: int = 1, readable: int | None = None, rows_lost: int | None = None) -> None:
        """Count faults and, where that was looked at, what they left behind."""
        self.injected += injected
        if readable is not None:
            self.readable = (self.readable or 0) + readable
        if rows_lost is not None:
            self.rows_lost = (self.rows_lost or 0) + rows_lost

    def ended(self, *, exact: bool) -> None:
        """Count a run that got to its end after faults, and whether it equals its reference."""
        self.resumable = (self.resumable or 0) + 1
        self.resumed = (self.resumed or 0) + exact


@dataclass
class Report:
    """Tallies by fault, and everything that was wrong, in words."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    talks: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._began = time.monotonic()

    def tally(self, fault: str) -> Tally:
        """The row of a fault."""
        return self.tallies.setdefault(fault, Tally())

    def complain(self, text: str) -> None:
        """Note something that must not be."""
        with self.lock:
            self.wrong.append(text)
        self.say(f"WRONG: {text}")

    def say(self, text: str) -> None:
        """Progress, where somebody looks on."""
        if self.talks:
            print(f"{time.monotonic() - self._began:7.1f} s  {text}", file=sys.stderr, flush=True)

    def table(self) -> str:
        """The table, with what was wrong below it."""
        heads = ("fault", "injected", "files readable", "rows lost", "runs resumed exactly")
        lines = [heads]
        for fault, tally in self.tallies.items():
            resumed = "-" if tally.resumable is None else f"{tally.resumed} of {tally.resumable}"
            cells = (tally.injected, tally.readable, tally.rows_lost)
            lines.append((fault, *("-" if cell is None else f"{cell:,}" for cell in cells), resumed))
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        rows = [
            " | ".join(cell.ljust(width) if not place else cell.rjust(width)
                       for place, (cell, width) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]  # fmt: skip
        rows.insert(1, "-|-".join("-" * width for width in widths))
        return "\n".join([*rows, *self.notes, *(f"WRONG: {text}" for text in self.wrong)])
