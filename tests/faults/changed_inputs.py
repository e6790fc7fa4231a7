"""Jobs of every kind killed at random moments, and resumed when what they read has changed: refused, or of one piece.

A run that goes on must not hold numbers of two states of its input. So it is refused and stays as it is, or, where
nothing was kept of it, ends like a run that has only ever seen the input as it is now.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.report import Report
from support.changing_inputs import DATA, FILE, JOBS, Changing, before, change

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.worker.execution import execute

RUN = "job"
SECONDS = 2.0  # that a job takes at least: these are so small that nothing would be in the journal when they are killed
REFUSALS = ("is not what this run began with", "is not the one that this run began with", "the files do not hold")


@dataclass(frozen=True)
class Ground:
    """What the trials of a kind rest on: its inputs before and after, and what it finds with each.

    ``checks`` is the number of safe points of a whole run.
    """

    old: Path
    new: Path
    early: Any
    late: Any
    checks: int


def change_inputs(root: Path, count: int, report: Report, seed: int) -> None:
    """Let ``count`` interrupted jobs, all kinds in turn, meet a changed input."""
    chance = random.Random(f"{seed} changed inputs")
    grounds: dict[str, Ground] = {}
    outcomes = Counter[str]()
    for number in range(count):
        kind = list(JOBS)[number % len(JOBS)]
        if kind not in grounds:
            report.say(f"making the inputs of '{kind}', before and after")
            grounds[kind] = _ground(root / "inputs" / str(number), JOBS[kind])
        place = root / f"changed-{number}"
        wrong = _trial(place, kind, grounds[kind], chance, report, outcomes)
        if wrong:
            report.complain(f"{kind}, input changed, in '{place}': {wrong}")
        else:
            shutil.rmtree(place)
    if count:
        report.notes.append(
            f"of the jobs whose input had changed, {outcomes['refused']} were refused, and {outcomes['anew']}, of which "
            "nothing was kept, began anew"
        )


def _ground(place: Path, job: Changing) -> Ground:
    old, new = Workspace(place / "old"), Workspace(place / "new")
    before(old, job)
    shutil.copytree(old.root, new.root, dirs_exist_ok=True)
    change(new, job)
    checks, found = [0], []
    original = RunRecorder.check_stop

    def counted(recorder: RunRecorder) -> None:
        checks[0] += 1
        original(recorder)

    RunRecorder.check_stop = counted  # type: ignore[method-assign]
    try:
        for workspace in (old, new):
            checks[0] = 0
            assert execute(workspace, "whole", job.spec(workspace.root), device="cpu").state is RunState.FINISHED
            found.append(_content(workspace, "whole"))
    finally:
        RunRecorder.check_stop = original  # type: ignore[method-assign]
    return Ground(old.root, new.root, *found, checks[0])


def _trial(
    place: Path, kind: str, ground: Ground, chance: random.Random, report: Report, outcomes: Counter[str]
) -> str:
    """One job, killed and resumed; what is wrong with it, "" where nothing is."""
    tally, job = report.tally(f"{kind}, input changed"), JOBS[kind]
    shutil.copytree(ground.old, place)
    workspace = Workspace(place)
    pause, at = SECONDS / ground.checks, chance.uniform(0, ground.checks)
    child = multiprocessing.get_context("spawn").Process(target=_run_and_die, args=(place, kind, pause, at))
    child.start()
    child.join()
    if child.exitcode == 0:  # the kill came too late
        tally.add(injected=0)
        return "" if _content(workspace, RUN) == ground.early else "it ended before it was killed, with wrong rows"
    if child.exitcode != -signal.SIGKILL:
        return f"its process ended with {child.exitcode} instead of being killed"
    _exchange(place, ground.new, job)
    try:
        kept = _content(workspace, RUN)
        tally.add(readable=1)
    except UserError as error:
        tally.add(readable=0)
        return f"its file cannot be read: {error}"
    try:
        summary = execute(workspace, RUN, job.spec(place), device="cpu", resume=True)
        reason, finished = summary.reason, summary.state is RunState.FINISHED
    except UserError as error:
        reason, finished = str(error), False
    now = _content(workspace, RUN)
    outcomes["anew" if finished else "refused"] += 1
    if finished:
        wrong = "" if now == ground.late else "it went on, and does not equal a run on the input as it is now"
    elif not any(refusal in reason for refusal in REFUSALS):
        wrong = f"it was refused for another reason: {reason}"
    else:
        wrong = "" if now == kept else "it was refused, but has changed"
    tally.ended(exact=not wrong)
    return wrong


def _run_and_die(place: Path, kind: str, pause: float, at: float) -> None:
    """In a process of its own: run a job that pauses at each safe point, and be killed so many pauses after the first."""
    original, killers = RunRecorder.check_stop, list[threading.Timer]()

    def watched(recorder: RunRecorder) -> None:
        if not killers:
            killers.append(threading.Timer(at * pause, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            killers[0].daemon = True
            killers[0].start()
        time.sleep(pause)
        original(recorder)

    RunRecorder.check_stop = watched  # type: ignore[method-assign]
    execute(Workspace(place), RUN, JOBS[kind].spec(place), device="cpu")


def _exchange(place: Path, new: Path, job: Changing) -> None:
    """Put the changed input in the place of the old one."""
    if job.changing == FILE:
        shutil.copy(new / FILE, place / FILE)
    elif job.changing == DATA:
        shutil.rmtree(place / "datasets" / DATA)
        shutil.copytree(new / "datasets" / DATA, place / "datasets" / DATA)
    else:
        name = Workspace(new).run_path(job.changing).name
        shutil.copy(new / "runs" / name, place / "runs" / name)


def _content(workspace: Workspace, run_id: str) -> Any:
    """The rows of a run; of a training its weights."""
    reader = workspace.reader(run_id)
    recover(reader)
    if reader.summary().kind.startswith("train_"):
        return reader.chosen_weights("last")[2] if reader.summary().has_checkpoint else ""
    return {name: reader.array(f"samples/{name}").tolist() for name in reader.sample_layout()}
