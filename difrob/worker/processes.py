"""Worker processes: starting, watching, killing them, and finding out how they died."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil

from difrob.runs import RunState, Workspace
from difrob.runs.locks import is_locked
from difrob.runs.reader import LOST, RunReader
from difrob.runs.records import RunSummary
from difrob.runs.recovery import recover
from difrob.worker.messages import Entry

OUTPUT_TAIL = 4000


class WorkerProcesses:
    """Workers of one workspace: those started here, and those that an earlier supervisor left behind."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, run_id: str, lane: str) -> int:
        """Start a fresh interpreter for a run and return its process id. Raises OSError when that fails."""
        command = [sys.executable, "-m", "difrob.worker", "--workspace", str(self._workspace.root)]
        with open(self._workspace.output_path(run_id), "ab") as output:
            child = subprocess.Popen(
                [*command, "--run-id", run_id, "--device", lane],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._children[run_id] = child
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

    def autopsy(self, entry: Entry, grade: str) -> tuple[RunState, str]:
        """How a run ended whose worker has gone: its file says so, or else the exit code and the last output do.

        Args:
            entry: the run.
            grade: how it had been asked to stop, "" if it had not.

        Raises:
            OSError: when the disk is too full to bring the run's file up to date; to be tried again.
        """
        child = self._children.get(entry.run_id)
        exit_code = child.returncode if child is not None else None
        reason = self._explain(exit_code, entry.run_id, grade)
        killed = grade in ("kill", "abort")
        summary = self.recover(entry.run_id, reason, RunState.CANCELLED if killed else RunState.INTERRUPTED)
        summary = summary or self._summary_of_this_start(entry)
        self._children.pop(entry.run_id, None)
        if summary is None or not summary.state.is_end:
            return RunState.FAILED, reason
        if summary.state is not RunState.FAILED:
            with contextlib.suppress(OSError):
                self._workspace.output_path(entry.run_id).unlink()
        return summary.state, summary.reason

    def recover(self, run_id: str, reason: str, state: RunState = RunState.INTERRUPTED) -> RunSummary | None:
        """Fold what a dead worker left behind."""
        path, journal = self._workspace.run_path(run_id), self._workspace.journal_path(run_id)
        return recover(RunReader(run_id, path, journal), reason, state)

    def _summary_of_this_start(self, entry: Entry) -> RunSummary | None:
        """What the file says, unless that is still from before a resumption that never got to write."""
        path, journal = self._workspace.run_path(entry.run_id), self._workspace.journal_path(entry.run_id)
        if not path.exists():
            return None
        summary = RunReader(entry.run_id, path, journal).summary()
        return summary if (summary.ended or 0) >= (entry.started or 0) else None

    def _explain(self, exit_code: int | None, run_id: str, grade: str) -> str:
        if grade == "kill":
            return "killed on request"
        if grade == "abort":
            return "aborted on request"
        if exit_code is None:
            return LOST
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            hint = "; the system may have run out of memory" if -exit_code == signal.SIGKILL else ""
            return f"the worker was killed by signal {name}{hint}"
        tail = self._last_line(run_id)
        return f"the worker ended with exit code {exit_code}" + (f": {tail}" if tail else "")

    def _last_line(self, run_id: str) -> str:
        try:
            with open(self._workspace.output_path(run_id), "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - OUTPUT_TAIL))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].removeprefix("difrob: ") if lines else ""
