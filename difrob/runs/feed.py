"""Following a run: everything at first, afterwards only what is new.

The journal itself is the channel. It works the same for a worker on this machine, one started from the command line, one
on a cluster that shares the folder, and for a window opened long after the start; and it leaves no gap, because frames are
numbered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from difrob.errors import UserError
from difrob.runs.journal import scan_journal
from difrob.runs.journal_contents import Contents, Said
from difrob.runs.locks import is_locked
from difrob.runs.reader import (
    RunReader,
    at_rest,
    curves_of,
    file_stamp,
    live_summary,
    log_of,
    metrics_of,
    pictures_of,
)
from difrob.runs.records import FeedUpdate, RunSummary


class RunFeed:
    """Tells what is new in one run at each :meth:`poll`. Not thread-safe; owns no thread and keeps no file open."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._base: RunSummary | None = None  # what the file says, or the header of a run without one
        self._header: dict[str, Any] | None = None
        self._known = Contents()  # the small things of the journal, for the summary; rows and pictures are handed on
        self._alive = False
        self._offset = 0
        self._stamp: tuple[int, int, int] | None = None

    def poll(self) -> FeedUpdate:
        """What is new since the last poll; the first one brings everything, with ``reset`` set.

        Raises:
            UserError: when the run is gone or damaged.
        """
        reader = self._reader
        if self._base is None:
            return self._load()
        self._alive = is_locked(reader.journal_path)  # before reading: a run that ends meanwhile must not look lost
        try:
            was_cleared = reader.journal_path.stat().st_size < self._offset
            scan = scan_journal(reader.journal_path, self._offset)
        except FileNotFoundError:
            return self._load() if file_stamp(reader.h5_path) != self._stamp else self._update(Contents())
        # A fold replaces the file before it clears the journal, so an unchanged file means that the offset still holds.
        folded_since = file_stamp(reader.h5_path) != self._stamp
        if self._header is None:
            return self._load() if folded_since or scan.frames else self._update(Contents())
        follows = not scan.frames or scan.frames[0].sequence == self._known.sequence + 1
        if was_cleared or folded_since or not follows:
            return self._read_from_the_start()
        self._offset = scan.offset
        return self._take(self._follow(self._known.sequence).add(scan.frames))

    def _follow(self, sequence: int) -> Contents:
        """Room for what is new; what a metric is, and the name of its interval, was said once, perhaps long ago."""
        known = self._known
        return Contents(sequence=sequence, intervals=dict(known.intervals), quantities=dict(known.quantities))

    def _read_from_the_start(self) -> FeedUpdate:
        """The journal was cleared: read on from its start, and everything anew only if a frame was missed."""
        reader, seen = self._reader, self._known.sequence
        # In this order: a fold in between shows at the next poll, and no summary tells of an end before its last rows came.
        stamp, folded = file_stamp(reader.h5_path), reader.folded_summary()
        try:
            scan = scan_journal(reader.journal_path)
        except FileNotFoundError:
            return self._load()
        new = [frame for frame in scan.frames if frame.sequence > seen]
        complete = new[0].sequence == seen + 1 if new else reader.folded_sequence() <= seen
        if scan.header != self._header or not complete or (folded is not None and folded.damaged):
            return self._load()
        self._offset, self._stamp = scan.offset, stamp
        self._base = folded or self._base
        return self._take(self._follow(seen).add(new))

    def _take(self, news: Contents) -> FeedUpdate:
        if news.rewind is not None:
            return self._load()
        self._remember(news)
        return self._update(news)

    def _load(self) -> FeedUpdate:
        with self._reader.look() as look:
            if (base := look.base) is None:
                raise UserError(f"there is no run '{self._reader.run_id}' any more")
            self._base = base
            self._header, self._alive, self._offset, self._stamp = look.header, look.alive, look.offset, look.stamp
            metrics = metrics_of(look)
            intervals = {name: series.interval for name, series in metrics.items() if series.interval}
            quantities = {name: Said(series.title, series.unit, series.better) for name, series in metrics.items()}
            self._known = Contents(sequence=look.contents.sequence, intervals=intervals, quantities=quantities)
            self._remember(look.contents)
            return FeedUpdate(
                self._summary(), True, metrics, list(curves_of(look).values()), pictures_of(look), log_of(look)
            )

    def _remember(self, news: Contents) -> None:
        known = self._known
        known.sequence = max(known.sequence, news.sequence)
        known.results |= news.results
        known.intervals |= news.intervals
        known.quantities |= news.quantities
        known.progress = news.progress or known.progress
        known.state = news.state or known.state
        known.ended = news.ended or known.ended

    def _update(self, news: Contents) -> FeedUpdate:
        return FeedUpdate(self._summary(), False, news.series(), news.curves, news.pictures, news.log)

    def _summary(self) -> RunSummary:
        assert self._base is not None
        if self._header is None:
            return self._base if self._alive else at_rest(self._base)
        size = self._stamp[0] if self._stamp else 0
        return replace(live_summary(self._base, self._header, self._known, alive=self._alive), size=size)
