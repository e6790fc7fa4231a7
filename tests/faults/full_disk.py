"""A disk that is really full: a small file system in memory. Runs on it wait for room, and finish as if nothing had been."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from faults import run_contents
from faults.references import Spec, with_inputs
from faults.report import Report
from support.processes import processes_of
from support.waiting import entry_of, wait_until

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.transport import Connection, connect

DISK = "disk full"
ROOM_FOR_RUNS = 24 << 20
LIMIT_SECONDS = 120.0


def why_not() -> str:
    """Why no small file system can be mounted here; empty when it can."""
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "mounting a small file system takes root on Linux"
    return ""


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``folder``. Raises UserError when it cannot be mounted."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        raise UserError(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disks(
    references: Workspace, specs: dict[str, Spec], root: Path, count: int, report: Report, seed: int
) -> None:
    """Let ``count`` runs meet a full disk at a random moment."""
    chance = random.Random(f"{seed} disks")
    if problem := why_not():
        report.notes.append(f"{DISK}: skipped, {problem}")
        return
    kinds = list(specs)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        try:
            with small_disk(root / f"disk-{number}", ROOM_FOR_RUNS) as folder:
                _fill_disk(references, kind, specs[kind], folder, report, chance)
        except UserError as error:
            report.notes.append(f"{DISK}: skipped, {error}")
            return
        report.say(f"{DISK}: {number + 1} of {count}")


def _fill_disk(
    references: Workspace, kind: str, spec: Spec, folder: Path, report: Report, chance: random.Random
) -> None:
    workspace = with_inputs(references, folder / "workspace")
    ballast = folder / "ballast"
    try:
        with connect(workspace) as connection:
            connection.call("submit", entries=[{"run_id": "victim", "spec": spec}])
            wait_until(lambda: workspace.journal_path("victim").exists(), LIMIT_SECONDS)
            time.sleep(chance.uniform(0, 1))
            leave_room(ballast, chance.choice([0, 4096, 100_000, 300_000]))
            time.sleep(chance.uniform(1.0, 2.5))
            before = run_contents.recorded(workspace.reader("victim"))
            ballast.unlink()
            told = _follow(connection, workspace, before)
            found = run_contents.outcome(workspace.reader("victim"))
            run_contents.check_with_h5py(workspace.run_path("victim"))
    except (AssertionError, UserError, OSError, psutil.Error) as error:
        report.complain(f"{DISK} under a run of {kind}: {error!r}")
        report.tally(DISK).add(readable=0)
        return
    finally:
        for process in processes_of(workspace.root):
            with suppress(psutil.Error):
                process.kill()
                process.wait(10)
    told += run_contents.differences(found, run_contents.outcome(references.reader(kind)))
    for text in told:
        report.complain(f"{DISK} under a run of {kind}: {text}")
    report.tally(DISK).add(readable=1, rows_lost=0)
    report.tally(DISK).ended(exact=not told)


def leave_room(ballast: Path, room: int) -> None:
    """Fill the disk but for so many bytes."""
    disk = os.statvfs(ballast.parent)
    left = disk.f_bavail * disk.f_frsize - room
    with open(ballast, "wb") as file, suppress(OSError):
        file.write(bytes(max(0, left)))


def _follow(connection: Connection, workspace: Workspace, before: dict[str, object]) -> list[str]:
    """See the run to its end, resuming it if it ended for want of room."""
    told = []
    for _ in range(3):
        wait_until(lambda: entry_of(connection, "victim").state.is_end, LIMIT_SECONDS)
        entry = entry_of(connection, "victim")
        if entry.state is RunState.FINISHED:
            return told
        told.append(f"it ended as {entry.state}: {entry.reason}")
        connection.call("resume", run_id="victim")
    raise AssertionError(f"it does not finish: {'; '.join(told)}")
