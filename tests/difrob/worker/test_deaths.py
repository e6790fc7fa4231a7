"""What a worker died of: exit status, last words, counters of the out-of-memory killer, boots, and what the file says."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from difrob.runs import RunState, RunSummary, Workspace
from difrob.runs.causes import Cause
from difrob.runs.journal_contents import Contents
from difrob.runs.run_file import fold
from difrob.worker.deaths import Death, explain
from difrob.worker.messages import Entry
from difrob.worker.oom import OomKills
from difrob.worker.processes import WorkerProcesses, why_unknown

ENTRY = Entry(run_id="run", spec={"kind": "train_denoiser"}, state=RunState.RUNNING, started=5.0)
KILLED = -signal.SIGKILL


@pytest.mark.parametrize(
    ("exit_code", "last_line", "starved", "cause", "state", "words"),
    [
        (KILLED, "", True, Cause.MEMORY, RunState.INTERRUPTED, "the system ran out of memory and killed the worker"),
        (KILLED, "", False, Cause.SIGNAL, RunState.INTERRUPTED, "signal SIGKILL; something outside killed it"),
        (-signal.SIGSEGV, "", True, Cause.SIGNAL, RunState.INTERRUPTED, "killed by signal SIGSEGV"),
        (-signal.SIGTERM, "", False, Cause.SIGNAL, RunState.INTERRUPTED, "killed by signal SIGTERM"),
        (-signal.SIGRTMIN - 3, "", False, Cause.SIGNAL, RunState.INTERRUPTED, f"signal {signal.SIGRTMIN + 3}"),
        (1, "ModuleNotFoundError: No module named 'x'", False, Cause.IMPORT, RunState.FAILED, "code 1: ModuleNotFound"),
        (1, "ImportError: libcudart.so", False, Cause.IMPORT, RunState.FAILED, "libcudart.so"),
        (3, "difrob: torch cannot be imported (x); run", False, Cause.IMPORT, RunState.FAILED, "code 3: torch cannot"),
        (
            3,
            "difrob: there is no device 'cuda:7'",
            False,
            Cause.BAD_INPUT,
            RunState.FAILED,
            "code 3: there is no device",
        ),
        (3, "difrob: cannot write: No space left on device", False, Cause.DISK_FULL, RunState.FAILED, "No space left"),
        (1, "MemoryError", False, Cause.MEMORY, RunState.FAILED, "code 1: MemoryError"),
        (1, "ValueError: x", False, Cause.ERROR, RunState.FAILED, "the worker ended with exit code 1: ValueError: x"),
        (0, "", False, Cause.ERROR, RunState.FAILED, "the worker ended with exit code 0"),
        (None, "", True, Cause.NONE, RunState.INTERRUPTED, ""),
    ],
)
def test_what_a_process_died_of(
    exit_code: int | None, last_line: str, starved: bool, cause: Cause, state: RunState, words: str
) -> None:
    death = explain(ENTRY, exit_code, last_line, starved=starved)
    assert (death.cause, death.state) == (cause, state) and words in death.reason


@pytest.mark.parametrize(
    ("changes", "death"),
    [
        ({"stop_grade": "kill"}, Death(RunState.CANCELLED, "killed on request", Cause.REQUEST)),
        ({"stop_grade": "abort"}, Death(RunState.CANCELLED, "aborted on request", Cause.REQUEST)),
        (
            {"stop_grade": "kill", "cause": "stuck", "reason": "no sign of life for 1 h 00 min"},
            Death(RunState.INTERRUPTED, "stopped by the queue: no sign of life for 1 h 00 min", Cause.STUCK),
        ),
    ],
)
def test_who_was_asked_to_end_died_of_that(changes: dict[str, str], death: Death) -> None:
    assert explain(ENTRY.model_copy(update=changes), KILLED, "", starved=True) == death


def test_an_end_without_a_trace_is_blamed_on_a_restart_only_if_there_was_one() -> None:
    before = ENTRY.model_copy(update={"started": psutil.boot_time() - 100})
    assert why_unknown(before) == ("the machine was restarted while it ran", Cause.RESTART)
    assert why_unknown(ENTRY.model_copy(update={"started": time.time()}))[1] is Cause.LOST


class Kernel:
    """Files as Linux shows them, below a folder."""

    def __init__(self, root: Path, version: int | None) -> None:
        self.root = root
        (root / "proc/7").mkdir(parents=True)
        self.group_file = root / "nothing"
        lines = {None: "", 1: "4:cpu,memory:/a/b\n0::/\n", 2: "0::/a/b\n"}
        (root / "proc/7/cgroup").write_text(lines[version])
        if version is not None:
            name = "sys/fs/cgroup/a/b/memory.events" if version == 2 else "sys/fs/cgroup/memory/a/b/memory.oom_control"
            self.group_file = root / name
            self.group_file.parent.mkdir(parents=True)
        self.kill(0, 0)

    def kill(self, machine: int, group: int | None) -> None:
        """Set the counts of kills."""
        (self.root / "proc/vmstat").write_text(f"nr_free_pages 12\noom_kill {machine}\noom_kill_x 9\n")
        if group is not None and self.group_file.parent.exists():
            self.group_file.write_text(f"low 0\nmax 3\noom 4\noom_kill {group}\noom_group_kill 8\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_killer_is_known_by_the_count_of_the_control_group(tmp_path: Path, version: int) -> None:
    kernel = Kernel(tmp_path, version)
    before = OomKills.seen_by(7, tmp_path)
    assert before == OomKills(0, 0, kernel.group_file) and not before.rose(tmp_path)
    kernel.kill(5, 0)
    assert not before.rose(tmp_path), "it struck elsewhere on the machine"
    kernel.kill(6, 1)
    assert before.rose(tmp_path)
    kernel.group_file.unlink()
    assert before.rose(tmp_path), "the group is gone, the machine's count remains"


def test_without_a_control_group_the_count_of_the_machine_decides(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, None)
    before = OomKills.seen_by(7, tmp_path)
    assert before == OomKills(0, None, None) and not before.rose(tmp_path)
    kernel.kill(1, None)
    assert before.rose(tmp_path)


def test_a_system_that_counts_nothing_blames_nobody(tmp_path: Path) -> None:
    before = OomKills.seen_by(7, tmp_path)
    assert before == OomKills(None, None, None) and not before.rose(tmp_path)


def summary_of_run(**changes: object) -> RunSummary:
    plain = RunSummary("run", "train_denoiser", "run", RunState.CANCELLED, created=1.0, started=5.0, ended=9.0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def processes_with_dead_child(workspace: Workspace, code: str) -> WorkerProcesses:
    processes = WorkerProcesses(workspace)
    with open(workspace.output_path("run"), "wb") as output:
        child = subprocess.Popen([sys.executable, "-c", code], stderr=output)
    child.wait()
    processes._children["run"] = child
    return processes


def test_the_file_is_believed_before_the_exit_status(workspace: Workspace) -> None:
    told = summary_of_run(state=RunState.FAILED, reason="out of GPU memory", cause="gpu_memory")
    fold(workspace.run_path("run"), told, Contents(), [], {})
    processes = processes_with_dead_child(workspace, "raise ImportError('x')")
    assert processes.autopsy(ENTRY) == Death(RunState.FAILED, "out of GPU memory", "gpu_memory")


def test_without_a_file_the_last_words_count(workspace: Workspace) -> None:
    death = processes_with_dead_child(workspace, "import a_package_that_is_missing").autopsy(ENTRY)
    assert (death.state, death.cause) == (RunState.FAILED, Cause.IMPORT)
    assert death.reason.endswith("exit code 1: ModuleNotFoundError: No module named 'a_package_that_is_missing'")


def test_a_stuck_worker_that_still_obeyed_the_abort_is_recorded_as_stuck(workspace: Workspace) -> None:
    obeyed = summary_of_run(reason="aborted on request", cause="request")
    fold(workspace.run_path("run"), obeyed, Contents(), [], {"host": "here"})
    entry = ENTRY.model_copy(update={"cause": "stuck", "stop_grade": "abort", "reason": "no sign of life for 9 min"})
    death = processes_with_dead_child(workspace, "pass").autopsy(entry)
    assert death == Death(RunState.INTERRUPTED, "stopped by the queue: no sign of life for 9 min", "stuck")
    summary = workspace.reader("run").summary()
    assert (summary.state, summary.cause, summary.reason) == (death.state, death.cause, death.reason)
    assert summary.started == 5.0 and workspace.reader("run").facts() == {"host": "here"}
