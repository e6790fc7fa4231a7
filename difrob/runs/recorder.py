"""The recorder of a real run: buffers what a job reports, appends it to the journal, folds it into the HDF5 file."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from difrob.errors import Stopped, UserError
from difrob.quantities import quantity_of
from difrob.runs import checks, run_file
from difrob.runs.causes import Cause
from difrob.runs.checks import checked_name
from difrob.runs.data_sets_read import DATA_SETS, DataSetsRead
from difrob.runs.datasets import DataSetRecord
from difrob.runs.file_writer import NewCheckpoint, plain_text
from difrob.runs.full_disk import RoomWatch, is_full
from difrob.runs.heartbeat import Heartbeat
from difrob.runs.input_states import InputStates, NotedRun
from difrob.runs.interface import Checkpoint, Measure
from difrob.runs.journal import JournalWriter, scan_journal
from difrob.runs.journal_contents import FROM_THE_START, Contents
from difrob.runs.pace import Pace
from difrob.runs.reader import RunReader
from difrob.runs.records import Progress, RunSummary, SignOfLife
from difrob.runs.retention import read_retention
from difrob.runs.states import RunState
from difrob.runs.stop import StopControl
from difrob.runs.surroundings import surroundings
from difrob.runs.taking_over import take_over
from difrob.runs.workspace import Workspace
from difrob.specs import JobSpec, input_runs

FLUSH_SECONDS = 0.15
SYNC_SECONDS = 5.0
FOLD_BYTES = 64 << 20
MAX_FOLD_BYTES = 256 << 20


class RunRecorder:
    """Implements :class:`difrob.runs.interface.Recorder` on a workspace.

    A thread appends the buffer to the journal several times a second, so a row is at most :data:`FLUSH_SECONDS` away from
    safety even if the job takes minutes over its next step. What a job reports is checked and copied at once: the job may
    reuse its arrays, and a mistake is raised where it was made, not out of that thread or a later fold.
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
        on_progress: Callable[[SignOfLife], None] | None = None,
        created: float | None = None,
        facts: dict[str, Any] | None = None,
        old_inputs: bool = False,
    ) -> None:
        """Open (or, with ``resume``, reopen) a run for writing.

        Args:
            on_progress: told a few times a second how the run gets on.
            facts: further facts for the file beside versions and platform, e.g. the number of threads; plain JSON data.
            old_inputs: a resumed run goes on with the inputs that it began with where they are still kept, instead of being
                refused where they have changed.

        Raises:
            UserError: when the run exists already (without ``resume``), is being written, or the disk refuses; when it is to
                go on with other inputs than it began with.
        """
        self._workspace = workspace
        self._path = workspace.run_path(run_id)
        self._reader = RunReader(run_id, self._path, workspace.journal_path(run_id))
        self._control = control or StopControl()
        self._retention = read_retention(workspace.root)
        self._on_progress = on_progress or (lambda sign: None)
        old = take_over(self._reader, spec, resume=resume)
        now = time.time()
        self._summary = RunSummary(
            run_id=run_id,
            kind=spec.kind,
            name=spec.name,
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
        self._facts = {**surroundings(), **(facts or {})}
        self._heart = Heartbeat()
        self._lock = threading.RLock()
        self._rows: list[list[Any]] = []
        self._intervals: dict[str, str] = {}
        self._new_intervals: dict[str, str] = {}  # those that the journal does not name yet
        self._told: set[str] = set()  # metrics of which the journal says what they are
        self._new_metrics: dict[str, list[str]] = {}
        self._records: list[dict[str, Any]] = []
        self._headline: dict[str, float] = {}
        self._progress = old.progress if old else Progress()  # where all was done but the end, nobody reports it again
        self._progress_is_new = False
        self._pace = Pace()
        self._room = RoomWatch(self._path.parent, self._control)
        self._failure: OSError | None = None
        self._resumed_from, damaged = self._reader.newest_whole_checkpoint() if resume else (None, [])
        self._recorded_samples = self._reader.sample_count() if resume else 0
        self._sample_layout = self._reader.sample_layout() if resume else {}
        self._data_sets = DataSetsRead(
            workspace.data_set, self._reader.attributes().get(DATA_SETS, {}) if resume else {},
            lambda noted: self.attribute(DATA_SETS, noted),
        )  # fmt: skip
        self._file_size = 0
        keeps_some = self._resumed_from is not None or self._recorded_samples > 0
        self._inputs = InputStates(
            workspace.reader, self._summary.parents, self._reader.parents() if keeps_some else {},
            lambda run_id, parent: self._put({"type": "parent", "run_id": run_id, **parent}), self.note,
        )  # fmt: skip
        self._inputs.require_unchanged(run_id, old_inputs=old_inputs)
        header = {
            "run_id": run_id, "started": now, "facts": self._facts,
            "summary": run_file.summary_to_json(self._summary),
        }  # fmt: skip
        self._journal = JournalWriter(
            self._reader.journal_path, header, self._reader.folded_sequence() if resume else 0
        )
        try:
            if old is not None:
                self._go_back(old, damaged)
            self._fold([])
        except BaseException:
            self._journal.close()
            raise
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_flushing, name="recorder", daemon=True)
        self._thread.start()

    def _go_back(self, old: RunSummary, damaged: list[int]) -> None:
        """Take back what was recorded after the checkpoint that the run goes on from; rows of samples stay."""
        at = self._resumed_from.step if self._resumed_from else FROM_THE_START
        self._put({"type": "rewind", "step": at})
        if self._resumed_from is None and not self._recorded_samples:  # nothing rests on what was read then
            for run_id in self._reader.parents():
                self._put({"type": "parent", "run_id": run_id, "digest": "", "read": {}})
        for step in damaged:
            self.note(f"the checkpoint at step {step} is damaged and was passed over", "warning")
        rows = f", {self._recorded_samples} rows recorded already" if self._recorded_samples else ""
        where = f"at {at}" if self._resumed_from else "without a checkpoint, from the start"
        why = f"; it had been {old.state}: {old.reason}" if old.reason else ""
        self.note(f"resumed {where}{rows}{why}")

    # What a job reports

    def metric(
        self,
        name: str,
        step: int,
        value: float,
        low: float | None = None,
        high: float | None = None,
        *,
        interval: str = "",
    ) -> None:
        self._heart.beat()
        value = float(value)
        ends = [None if end is None else float(end) for end in (low, high)]
        row = [checked_name(name), int(step), time.time(), value, *ends]
        with self._lock:
            self._rows.append(row)
            self._headline[name] = value
            if name not in self._told:
                self._told.add(name)
                quantity = quantity_of(name)
                self._new_metrics[name] = [quantity.title, quantity.unit, quantity.better.value]
            if interval and self._intervals.get(name) != interval:
                self._intervals[name] = interval
                self._new_intervals[name] = plain_text(str(interval))

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
        columns = {"x": x, "y": y, "low": low, "high": high}
        quantity = quantity_of(name)
        labels = {
            "x_label": x_label, "y_label": y_label, "interval": interval,
            "title": quantity.title, "unit": quantity.unit, "better": quantity.better.value,
        }  # fmt: skip
        self._put(checks.curve_record(name, step, columns, labels))

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        self._put(checks.images_record(name, step, images, captions))

    def samples(self, **columns: np.ndarray) -> None:
        with self._lock:
            arrays = checks.checked_samples(columns, self._sample_layout)
            if arrays:
                self._sample_layout = checks.layout_of(arrays)
                for record in checks.sample_records(arrays):
                    self._put(record)

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        self._heart.beat()
        with self._lock:
            left = self._pace.seconds_left(int(done), int(total))
            self._progress = Progress(int(done), int(total), unit, left)
            self._progress_is_new = True

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        json.dumps(state)  # raises here for what is no JSON data
        self._heart.beat()
        self._fold([NewCheckpoint(Checkpoint(int(step), bytes(weights), state), best)])

    def note(self, text: str, level: str = "info") -> None:
        self._put({"type": "log", "time": time.time(), "level": str(level), "text": plain_text(str(text))})

    def result(self, name: str, measure: Measure) -> None:
        measure = checks.checked_measure(checks.as_declared(name, measure))
        measure = replace(measure, conditions={**self._inputs.conditions(), **measure.conditions})
        with self._lock:
            self._summary = replace(self._summary, results={**self._summary.results, checked_name(name): measure})
            self._put({"type": "result", "name": name, "measure": asdict(measure)})

    def attribute(self, name: str, value: Any) -> None:
        self._put({"type": "attribute", "name": checked_name(name), "value": checks.checked_json(value)})

    # What a job asks

    def check_stop(self) -> None:
        self._heart.beat()
        while self._room:
            self._room.pause()
            self.flush()
            self._heart.skip()
        if self._failure is not None:
            raise self._failure
        self._control.check(self._pause)
        if self._journal.size > min(max(FOLD_BYTES, self._file_size), MAX_FOLD_BYTES):
            self._fold([])

    def input_run(self, run_id: str) -> NotedRun:
        return self._inputs.input_run(run_id)

    def data_set(self, name: str) -> DataSetRecord:
        return self._data_sets.data_set(name)

    def require_same_inputs(self) -> None:
        """To be asked when a job is done: whether what it rests on is still what it was when it was opened.

        The weights and rows of another run were read once; where that run has gone on, the log says what was read. The images
        of a data set are read while the job works.

        Raises:
            UserError: when a data set has been replaced.
        """
        for name in self._data_sets.require_unchanged():
            self.note(f"data set '{name}' cannot be read any more", "warning")
        self._inputs.note_changes()

    @property
    def resumed_from(self) -> Checkpoint | None:
        return self._resumed_from

    @property
    def recorded_samples(self) -> int:
        return self._recorded_samples

    def recorded_column(self, name: str) -> np.ndarray:
        return self._reader.array(f"samples/{name}")[: self._recorded_samples]

    # Ending, flushing, folding

    def finish(self, state: RunState, reason: str = "", cause: Cause = Cause.NONE) -> RunSummary:
        """End the run: everything is folded, the journal goes.

        On a full disk this waits until the journal at least has everything and tells the end (or somebody asks to stop);
        if the file cannot be folded then, the journal stays, to be folded by whoever finds it.

        Raises:
            OSError: when the disk refuses for another reason than being full.
        """
        reason = plain_text(reason)
        ended = time.time()
        with self._lock:
            self._summary = replace(
                self._summary, state=state, reason=reason, cause=cause.value, ended=ended, progress=self._progress
            )
            self._put({"type": "end", "state": state.value, "reason": reason, "cause": cause.value, "time": ended})
        try:
            with suppress(Stopped):
                self._room.persist("the end", lambda: self.flush(strict=True))
            self._stop_thread()
            return self._fold_last()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the run without ending it: it will be found like one whose process was killed."""
        self._stop_thread()
        self._journal.close()

    def _fold_last(self) -> RunSummary:
        with self._lock:
            try:
                self.flush(strict=True)
                self._fold_now([])
            except OSError as error:
                if not is_full(error):
                    raise
            else:
                self._journal.remove()
            return self._summary

    def _stop_thread(self) -> None:
        self._closing.set()
        self._thread.join()

    @property
    def summary(self) -> RunSummary:
        """The summary as it stands."""
        return replace(self._summary, progress=self._progress)

    @property
    def sequence(self) -> int:
        """The number of the journal's newest frame: what had been reported before it was written is safe."""
        return self._journal.sequence

    @property
    def waiting(self) -> str:
        """What the run is waiting for, "" if for nothing."""
        if not self._room:
            return ""
        return f"the disk of '{self._workspace.root}' is full; the run goes on when there is room"

    def _sign_of_life(self) -> SignOfLife:
        waits = self._control.is_paused or bool(self._room)
        within = None if waits else self._heart.seconds_left
        return SignOfLife(self._progress, dict(self._headline), self.waiting, self._heart.beats, within)

    def _put(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._drain_rows()
            self._records.append(record)

    def _drain_rows(self) -> None:
        for start in range(0, len(self._rows), checks.ROWS_AT_ONCE):
            record: dict[str, Any] = {"type": "metrics", "rows": self._rows[start : start + checks.ROWS_AT_ONCE]}
            for part, said in (("intervals", self._new_intervals), ("quantities", self._new_metrics)):
                if said:
                    record[part] = dict(said)
                    said.clear()
            self._records.append(record)
        self._rows = []

    def _keep_flushing(self) -> None:
        last_sync = time.monotonic()
        while not self._closing.wait(FLUSH_SECONDS):
            try:
                self.flush()
                self._failure = None
            except OSError as error:
                self._failure = error  # raised in the job's own thread at the next safe point
            if time.monotonic() - last_sync > SYNC_SECONDS:
                last_sync = time.monotonic()
                with suppress(OSError):
                    self._journal.sync()
            try:
                self._on_progress(self._sign_of_life())
            except Exception as error:  # whoever looks on must not cost the run its journal
                self._on_progress = lambda sign: None
                self.note(f"progress is no longer reported: {error!r}", "warning")

    def flush(self, *, strict: bool = False) -> None:
        """Append what is buffered to the journal. A full disk is remembered and tried again; nothing is dropped.

        Args:
            strict: raise for a full disk instead.

        Raises:
            OSError: when the disk refuses for another reason than being full.
        """
        with self._lock:
            self._drain_rows()
            if self._progress_is_new:
                self._records.append({"type": "progress", **asdict(self._progress)})
                self._progress_is_new = False
            try:
                while self._records:
                    count = checks.first_batch(self._records)
                    self._journal.append(self._records[:count])
                    del self._records[:count]
                self._room.has("the journal")
            except OSError as error:
                if strict or not is_full(error):
                    raise
                self._room.lacks("the journal")

    def _pause(self, paused: bool) -> None:
        state = RunState.PAUSED if paused else RunState.RUNNING
        with self._lock:
            self._summary = replace(self._summary, state=state)
            self._put({"type": "state", "state": state.value})
        self._pace.forget()
        self._heart.skip()
        self.flush()

    def _fold(self, checkpoints: list[NewCheckpoint]) -> None:
        """Fold, waiting for room on a full disk."""

        def fold() -> None:
            with self._lock:
                self.flush(strict=True)
                self._fold_now(checkpoints)

        if self._room.persist("the file", fold):
            self._heart.skip()

    def _fold_now(self, checkpoints: list[NewCheckpoint]) -> None:
        """Write file and journal into a new file, then clear the journal. The caller holds the lock and has flushed."""
        contents = Contents(sequence=self._reader.folded_sequence())
        contents.add(scan_journal(self._reader.journal_path).frames)
        if contents.sequence != self._journal.sequence:
            raise UserError(f"the journal of run '{self._reader.run_id}' is damaged on the disk; it was left as it is")
        written = run_file.fold(self._path, self.summary, contents, checkpoints, self._facts, self._retention)
        self._summary, self._file_size = written, written.size
        self._journal.clear()
