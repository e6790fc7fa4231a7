"""Following a run: everything at first, afterwards only what is new.

The journal itself is the channel. It works the same for a worker on this machine, one started from the command line, one
on a cluster that shares the folder, and for a window opened long after the start; and it leaves no gap, because frames are
numbered.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.contents import Contents
from difrob.runs.journal import scan_journal
from difrob.runs.locks import is_locked
from difrob.runs.reader import RunReader, live_summary, open_run_file, summary_from_header
from difrob.runs.records import FeedUpdate, RunSummary


class RunFeed:
    """Tells what is new in one run at each :meth:`poll`. Not thread-safe; owns no thread and keeps no file open."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._base: RunSummary | None = None
        self._header: dict[str, Any] | None = None
        self._contents = Contents()
        self._offset = 0
        self._file_stamp: tuple[int, int, int] | None = None

    def poll(self) -> FeedUpdate:
        """What is new since the last poll; the first one brings everything, with ``reset`` set.

        Raises:
            UserError: when the run is gone or damaged.
        """
        if self._base is None:
            return self._load()
        journal = self._reader.journal_path
        try:
            if journal.stat().st_size < self._offset:
                return self._after_fold()
            scan = scan_journal(journal, self._offset)
        except FileNotFoundError:
            return self._after_fold() if _stamp(self._reader.h5_path) != self._file_stamp else self._nothing_new()
        fresh = [frame for frame in scan.frames if frame.sequence > self._contents.sequence]
        stale = len(fresh) < len(scan.frames)
        gap = bool(fresh) and fresh[0].sequence != self._contents.sequence + 1
        unreadable = not scan.frames and scan.torn and _stamp(self._reader.h5_path) != self._file_stamp
        if gap or stale or unreadable:
            return self._after_fold()
        self._offset = scan.offset
        news = Contents(sequence=self._contents.sequence).add(fresh)
        if news.rewind is not None:
            return self._load()
        self._remember(news)
        return self._update(news)

    def _after_fold(self) -> FeedUpdate:
        """The journal was shortened: read on from its start, and everything anew only if a frame was missed."""
        seen = self._contents.sequence
        try:
            scan = scan_journal(self._reader.journal_path)
            frames = [frame for frame in scan.frames if frame.sequence > seen]
            complete = self._header == scan.frames[0].records[0] and (
                frames[0].sequence == seen + 1 if frames else self._reader.folded_sequence() <= seen
            )
        except (FileNotFoundError, IndexError):
            return self._load()
        if not complete:
            return self._load()
        self._offset = scan.offset
        self._file_stamp = _stamp(self._reader.h5_path)
        self._base = self._reader.folded_summary() or self._base
        news = Contents(sequence=seen).add(frames)
        if news.rewind is not None:
            return self._load()
        self._remember(news)
        return self._update(news)

    def _load(self) -> FeedUpdate:
        reader = self._reader
        for _ in range(20):  # a fold may come between reading the file and reading the journal: then read both again
            self._file_stamp = _stamp(reader.h5_path)
            folded = Contents()
            base: RunSummary | None = None
            metrics, curves, pictures, log = {}, [], [], []
            if self._file_stamp is not None:
                with open_run_file(reader.h5_path) as file:
                    folded.sequence = int(file.attrs["folded_sequence"])
                    metrics = run_file.read_metrics(file)
                    curves, pictures, log = (
                        run_file.read_curves(file), run_file.read_pictures(file), run_file.read_log(file),
                    )  # fmt: skip
                base = reader.folded_summary()
            try:
                scan = scan_journal(reader.journal_path)
                self._header = scan.frames[0].records[0] if scan.frames else None
                self._offset = scan.offset
                frames = scan.frames
            except FileNotFoundError:
                self._header, self._offset, frames = None, 0, []
            if _stamp(reader.h5_path) == self._file_stamp:
                break
        if base is None and self._header is None:
            raise UserError(f"there is no run '{reader.run_id}' any more")
        self._base = base or summary_from_header(self._header or {})
        self._contents = Contents(sequence=folded.sequence).add(frames)
        contents = self._contents
        if contents.rewind is not None:
            metrics = {name: run_file.until_step(series, contents.rewind) for name, series in metrics.items()}
            curves = [curve for curve in curves if curve.step <= contents.rewind]
            pictures = [batch for batch in pictures if batch.step <= contents.rewind]
        for name, series in contents.series().items():
            metrics[name] = metrics[name].joined(series) if name in metrics else series
        latest = {curve.name: curve for curve in [*curves, *contents.curves]}
        update = FeedUpdate(
            self._summary(),
            True,
            metrics,
            list(latest.values()),
            [*pictures, *contents.pictures],
            [*log, *contents.log],
        )
        self._contents = Contents(sequence=contents.sequence)
        self._remember(contents)
        return update

    def _remember(self, news: Contents) -> None:
        """Keep the small things that the summary needs; rows and pictures are handed on and forgotten."""
        known = self._contents
        known.sequence = max(known.sequence, news.sequence)
        known.results |= news.results
        known.progress = news.progress or known.progress
        known.state = news.state or known.state
        known.ended = news.ended or known.ended

    def _update(self, news: Contents) -> FeedUpdate:
        return FeedUpdate(self._summary(), False, news.series(), news.curves, news.pictures, news.log)

    def _nothing_new(self) -> FeedUpdate:
        return FeedUpdate(self._summary())

    def _summary(self) -> RunSummary:
        assert self._base is not None
        if self._header is None:
            return self._base
        alive = self._contents.ended is not None or is_locked(self._reader.journal_path)
        size = self._file_stamp[0] if self._file_stamp else 0
        return replace(live_summary(self._base, self._header, self._contents, alive=alive), size=size)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
