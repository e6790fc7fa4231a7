"""Worker processes: starting, watching, killing them, and finding out how they died."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import psutil

from difrob.runs import RunState, Workspace
from difrob.runs.causes import Cause
from difrob.runs.locks import is_locked
from difrob.runs.reader import LOST, RunReader
from difrob.runs.records import RunSummary
from difrob.runs.recovery import RESTARTED, recover, restate
from difrob.worker.deaths import Death, explain
from difrob.worker.lanes import device_of
from difrob.worker.messages import Entry
from difrob.worker.oom import OomKills

OUTPUT_TAIL = 4000


class WorkerProcesses:
    """Workers of one workspace: those started here, and those that an earlier supervisor left behind."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._kills: dict[str, OomKills] = {}

    def start(self, run_id: str, lane: str) -> int:
        """Start a fresh interpreter for a run and return its process id. Raises OSError when that fails.

        On several lanes it is still one process that is started here: it starts by itself those that follow it.
        """
        command = [sys.executable, "-P", "-m", "difrob.worker", "--workspace", str(self._workspace.root)]
        with open(self._workspace.output_path(run_id), "ab") as output:
            child = subprocess.Popen(
                [*command, "--run-id", run_id, "--device", device_of(lane)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._children[run_id] = child
        self._kills[run_id] = OomKills.seen_by(child.pid)
        return child.pid

    def is_alive(self, run_id: str, pid: int | None) -> bool:
        """Whether the worker of a run is there: a child that has not ended, or a process that holds the journal."""
        child = self._children.get(run_id)
        if child is not None:
            return child.poll() is None
        if is_locked(self._workspace.journal_path(run_id)):
            return True
        if pid is None:
            return False
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            return process.status() != psutil.STATUS_ZOMBIE and run_id in process.cmdline()
        return False

    def kill(self, run_id: str, pid: int | None) -> None:
        """Kill the worker of a run, and nobody else: the process id is checked against the command line."""
        if pid is None or not self.is_alive(run_id, pid):
            return
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if run_id in process.cmdline():
                process.kill()

    def autopsy(self, entry: Entry) -> Death:
        """How a run ended whose worker has gone: its file says so, or else the exit status and the last output do.

        Raises:
            OSError: when the disk is too full to bring the run's file up to date; to be tried again.
        """
        child, kills = self._children.get(entry.run_id), self._kills.get(entry.run_id)
        exit_code = child.returncode if child is not None else None
        death = explain(entry, exit_code, self._last_line(entry.run_id), starved=kills is not None and kills.rose())
        # A run of which there is a file can be resumed, whatever the worker died of.
        state = RunState.CANCELLED if death.state is RunState.CANCELLED else RunState.INTERRUPTED
        summary = self.recover(entry.run_id, death.reason, state, death.cause) or self._summary_of_this_start(entry)
        if summary is not None and death.cause == Cause.STUCK and summary.cause == Cause.REQUEST:
            summary = self._say_it_was_stuck(entry.run_id, death) or summary
        self._children.pop(entry.run_id, None)
        self._kills.pop(entry.run_id, None)
        if summary is None or not summary.state.is_end:
            return death if death.reason else Death(death.state, *why_unknown(entry))
        if summary.state is not RunState.FAILED:
            with contextlib.suppress(OSError):
                self._workspace.output_path(entry.run_id).unlink()
        return Death(summary.state, summary.reason, summary.cause)

    def recover(
        self, run_id: str, reason: str, state: RunState = RunState.INTERRUPTED, cause: str = ""
    ) -> RunSummary | None:
        """Fold what a dead worker left behind, and say so in its file; see :func:`difrob.runs.recovery.recover`."""
        return recover(self._reader(run_id), reason, state, cause)

    def _say_it_was_stuck(self, run_id: str, death: Death) -> RunSummary | None:
        """A worker that woke up when it was aborted recorded that it was asked to; but it was asked for being stuck."""
        return restate(self._reader(run_id), state=death.state, reason=death.reason, cause=death.cause)

    def _summary_of_this_start(self, entry: Entry) -> RunSummary | None:
        """What the file says, unless that is still from before a resumption that never got to write."""
        reader = self._reader(entry.run_id)
        if not reader.h5_path.exists():
            return None
        summary = reader.summary()
        return summary if (summary.ended or 0) >= (entry.started or 0) else None

    def _reader(self, run_id: str) -> RunReader:
        return RunReader(run_id, self._workspace.run_path(run_id), self._workspace.journal_path(run_id))

    def _last_line(self, run_id: str) -> str:
        try:
            with open(self._workspace.output_path(run_id), "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - OUTPUT_TAIL))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def why_unknown(entry: Entry) -> tuple[str, Cause]:
    """The reason and cause of an end of which nothing is left but the time of the start."""
    if entry.started is not None and entry.started < psutil.boot_time():
        return RESTARTED, Cause.RESTART
    return LOST, Cause.LOST
