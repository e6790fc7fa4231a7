"""The recorder of a real run: buffers what a job reports, appends it to the journal, folds it into the HDF5 file."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.contents import Contents
from difrob.runs.interface import Checkpoint, Measure
from difrob.runs.journal import JournalWriter, scan_journal
from difrob.runs.reader import RunReader
from difrob.runs.records import Progress, RunSummary
from difrob.runs.recovery import boot_time
from difrob.runs.run_file import NewCheckpoint
from difrob.runs.states import RunState
from difrob.runs.stop import StopControl
from difrob.runs.workspace import Workspace
from difrob.specs import JobSpec, input_runs

FLUSH_SECONDS = 0.15
SYNC_SECONDS = 5.0
FOLD_BYTES = 64 << 20
MAX_IMAGES = 1024
_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class RunRecorder:
    """Implements :class:`difrob.runs.interface.Recorder` on a workspace.

    A thread appends the buffer to the journal several times a second, so a row is at most :data:`FLUSH_SECONDS` away from
    safety even if the job takes minutes over its next step.
    """

    def __init__(
        self,
        workspace: Workspace,
        run_id: str,
        spec: JobSpec,
        *,
        device: str = "cpu",
        control: StopControl | None = None,
        resume: bool = False,
        on_progress: Callable[[Progress, dict[str, float], str], None] | None = None,
        created: float | None = None,
    ) -> None:
        """Open (or, with ``resume``, reopen) a run for writing.

        Args:
            on_progress: told a few times a second: progress, newest metrics, and what the run is waiting for ("" if nothing).

        Raises:
            UserError: when the run exists already (without ``resume``), is being written, or the disk refuses.
        """
        self._workspace = workspace
        self._path = workspace.run_path(run_id)
        self._reader = RunReader(run_id, self._path, workspace.journal_path(run_id))
        self._control = control or StopControl()
        self._on_progress = on_progress or (lambda progress, headline, waiting: None)
        if self._path.exists() and not resume:
            raise UserError(f"run '{run_id}' exists already; resume it, or start a new one")
        old = self._reader.folded_summary() if resume else None
        if resume and (old is None or old.damaged):
            raise UserError(f"run '{run_id}' has no readable file to resume from")
        now = time.time()
        self._summary = RunSummary(
            run_id=run_id,
            kind=spec.kind,
            name=spec.name or run_id,
            state=RunState.RUNNING,
            created=old.created if old else created or now,
            started=now,
            results=old.results if old else {},
            parents=input_runs(spec),
            spec=spec.model_dump(mode="json"),
            host=socket.gethostname(),
            device=device,
            has_checkpoint=old.has_checkpoint if old else False,
        )
        self._facts = {**run_file.platform_facts(), "pid": os.getpid(), "boot": boot_time()}
        header = {
            "run_id": run_id, "started": now, "pid": os.getpid(), "boot": boot_time(),
            "facts": self._facts, "summary": run_file.summary_to_json(self._summary),
        }  # fmt: skip
        self._journal = JournalWriter(
            self._reader.journal_path, header, self._reader.folded_sequence() if resume else 0
        )
        self._lock = threading.RLock()
        self._rows: list[list[Any]] = []
        self._records: list[dict[str, Any]] = []
        self._headline: dict[str, float] = {}
        self._progress = Progress()
        self._progress_is_new = False
        self._history: deque[tuple[float, int]] = deque(maxlen=200)
        self._waiting = ""
        self._resumed_from, self._recorded_samples = self._find_resume_point() if resume else (None, 0)
        if resume:
            at = self._resumed_from.step if self._resumed_from else self._recorded_samples
            why = f"; it had been {old.state}: {old.reason}" if old and old.reason else ""
            self._put({"type": "rewind", "step": at})
            self.note(f"resumed at {at}{why}")
        self._fold([])
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_flushing, name="recorder", daemon=True)
        self._thread.start()

    def _find_resume_point(self) -> tuple[Checkpoint | None, int]:
        checkpoint = None
        with suppress(UserError):
            checkpoint = self._reader.checkpoint("last")
        return checkpoint, self._reader.sample_count()

    # What a job reports

    def metric(self, name: str, step: int, value: float, low: float | None = None, high: float | None = None) -> None:
        value = float(value)
        with self._lock:
            self._rows.append([name, int(step), time.time(), value, low, high])
            self._headline[name] = value

    def curve(
        self,
        name: str,
        step: int,
        x: np.ndarray,
        y: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        *,
        x_label: str = "x",
        y_label: str = "y",
        interval: str = "",
    ) -> None:
        columns = {
            key: None if values is None else np.asarray(values, dtype=np.float64)
            for key, values in {"x": x, "y": y, "low": low, "high": high}.items()
        }
        shapes = {values.shape for values in columns.values() if values is not None}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"curve '{name}' needs 1-D arrays of one length, got {shapes}")
        labels = {"x_label": x_label, "y_label": y_label, "interval": interval}
        self._put({"type": "curve", "name": name, "step": int(step), **columns, **labels})

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) > MAX_IMAGES:
            raise ValueError(
                f"pictures '{name}' must be uint8 [N<={MAX_IMAGES},H,W,1 or 3], got {images.dtype} {images.shape}"
            )
        if captions is not None and len(captions) != len(images):
            raise ValueError(f"pictures '{name}': {len(captions)} captions for {len(images)} images")
        self._put({"type": "images", "name": name, "step": int(step), "images": images, "captions": captions})

    def samples(self, **columns: np.ndarray) -> None:
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"samples need columns of one length, got {lengths}")
        if lengths != {0}:
            self._put({"type": "samples", "columns": {name: np.asarray(values) for name, values in columns.items()}})

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        now = time.monotonic()
        with self._lock:
            if not self._history or now - self._history[-1][0] > 0.25:
                self._history.append((now, done))
            self._progress = Progress(int(done), int(total), unit, self._seconds_left(now, done, total))
            self._progress_is_new = True

    def _seconds_left(self, now: float, done: int, total: int) -> float | None:
        """From the speed over about the last minute: steady against one slow step, quick to notice a change."""
        while len(self._history) > 2 and now - self._history[1][0] > 60:
            self._history.popleft()
        began, done_then = self._history[0]
        if done <= done_then or now - began < 0.5:
            return None if done < total else 0.0
        return (total - done) * (now - began) / (done - done_then)

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        self._fold([NewCheckpoint(Checkpoint(int(step), weights, state), best)])

    def note(self, text: str, level: str = "info") -> None:
        self._put({"type": "log", "time": time.time(), "level": level, "text": text})

    def result(self, name: str, measure: Measure) -> None:
        with self._lock:
            self._summary = replace(self._summary, results={**self._summary.results, name: measure})
        self._put({"type": "result", "name": name, "measure": asdict(measure)})

    def attribute(self, name: str, value: Any) -> None:
        self._put({"type": "attribute", "name": name, "value": value})

    # What a job asks

    def check_stop(self) -> None:
        while self._waiting:
            self._control.wait(1.0)
            self._flush()
        self._control.check(self._pause)
        if self._journal.size > max(FOLD_BYTES, self._path.stat().st_size):
            self._fold([])

    def input_run(self, run_id: str) -> RunReader:
        reader = self._workspace.reader(run_id)
        digest = reader.content_digest()
        self._put({"type": "parent", "run_id": run_id, "digest": digest})
        return reader

    @property
    def resumed_from(self) -> Checkpoint | None:
        return self._resumed_from

    @property
    def recorded_samples(self) -> int:
        return self._recorded_samples

    # Ending, flushing, folding

    def finish(self, state: RunState, reason: str = "") -> RunSummary:
        """End the run: everything is folded, the journal goes. On a full disk the journal stays and tells the end."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            ended = time.time()
            self._put({"type": "end", "state": state.value, "reason": reason, "time": ended})
            self._summary = replace(self._summary, state=state, reason=reason, ended=ended, progress=self._progress)
            try:
                self._flush(strict=True)
                self._fold_now([])
                self._reader.journal_path.unlink()
            finally:
                self._journal.close()
        return self._summary

    @property
    def summary(self) -> RunSummary:
        """The summary as it stands."""
        return replace(self._summary, progress=self._progress)

    def _put(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._drain_rows()
            self._records.append(record)

    def _drain_rows(self) -> None:
        if self._rows:
            self._records.append({"type": "metrics", "rows": self._rows})
            self._rows = []

    def _keep_flushing(self) -> None:
        last_sync = time.monotonic()
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
            self._on_progress(self._progress, dict(self._headline), self._waiting)
            if time.monotonic() - last_sync > SYNC_SECONDS:
                last_sync = time.monotonic()
                with suppress(OSError):
                    self._journal.sync()

    def _flush(self, *, strict: bool = False) -> None:
        """Append what is buffered as one frame. A full disk is remembered and tried again; nothing is dropped."""
        with self._lock:
            self._drain_rows()
            if self._progress_is_new:
                self._records.append({"type": "progress", **asdict(self._progress)})
                self._progress_is_new = False
            if not self._records:
                self._waiting = ""
                return
            try:
                self._journal.append(self._records)
                self._records = []
                self._waiting = ""
            except OSError as error:
                if strict or error.errno not in _NO_ROOM:
                    raise
                self._waiting = f"the disk of '{self._workspace.root}' is full; the run goes on when there is room"

    def _pause(self, paused: bool) -> None:
        self._put({"type": "state", "state": (RunState.PAUSED if paused else RunState.RUNNING).value})
        self._history.clear()
        self._flush()

    def _fold(self, checkpoints: list[NewCheckpoint]) -> None:
        """Fold, waiting for room on a full disk."""
        while True:
            try:
                with self._lock:
                    self._flush(strict=True)
                    self._fold_now(checkpoints)
                self._waiting = ""
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._waiting = f"the disk of '{self._workspace.root}' is full; the run goes on when there is room"
                self._control.wait(1.0)

    def _fold_now(self, checkpoints: list[NewCheckpoint]) -> None:
        frames = scan_journal(self._reader.journal_path).frames
        contents = Contents(sequence=self._reader.folded_sequence()).add(frames)
        contents.sequence = max(contents.sequence, self._journal.sequence)
        if checkpoints:
            self._summary = replace(self._summary, has_checkpoint=True)
        summary = replace(self._summary, progress=self._progress)
        run_file.fold(self._path, summary, contents, checkpoints, self._facts)
        self._journal.clear()
