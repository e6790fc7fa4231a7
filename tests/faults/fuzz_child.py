"""Reads hostile input in a process of its own: what it does, how long it takes and how much memory is seen from outside.

Run as ``python fuzz_child.py FOLDER SEED``. Reads lines ``<sort> <number>`` from standard input; every input is a function
of seed, sort and number. Answers each with one JSON line: ``{"sort", "number", "seconds", "peak", "error"}``, where ``peak``
is the resident memory in bytes that it took at most, above what the process had before, and ``error`` what was raised that is
neither a result nor a UserError.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from faults import hostile_files, hostile_foreign, hostile_texts

from difrob.errors import UserError
from difrob.runs import Measure, RunFeed, RunReader, RunState, Workspace
from difrob.runs.damage import guard, replacement
from difrob.runs.damage.file_parts import damage
from difrob.runs.damage.inspection import Inspector
from difrob.runs.index import RunIndex
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.specs import TrainDenoiserSpec, apply_overrides, list_presets, parse_spec
from difrob.specs.presets import read_preset
from difrob.specs.registry import spec_class

ADDRESS_SPACE = 24 << 30
INSPECTION_SECONDS = 1.0


class Fuzzer:
    """Makes inputs from sound ones and reads them."""

    def __init__(self, folder: Path, seed: str) -> None:
        self._seed = seed
        self._workspace = Workspace(folder)
        replacement.Inspector = partial(Inspector, INSPECTION_SECONDS)  # what hangs is given up sooner than by default
        guard.LIMIT_SECONDS = INSPECTION_SECONDS
        record_a_run(self._workspace)
        path, journal = self._workspace.run_path("run"), self._workspace.journal_path("run")
        self._file, self._journal = path.read_bytes(), journal.read_bytes()
        self._path, self._journal_path = path, journal
        self._presets = [
            {"kind": p.kind, "title": p.title, "description": p.description, "spec": p.spec} for p in list_presets()
        ]
        self._sorts: dict[str, Callable[[random.Random], None]] = {
            "file": self._read_file,
            "journal": self._read_journal,
            "preset": self._read_preset,
        }
        self._folder = folder

    def read(self, sort: str, number: int) -> None:
        """Make one input and read it in every way; raises whatever the reading raises, except UserError."""
        chance = random.Random(f"{self._seed} {sort} {number}")
        for left in self._workspace.runs_folder.iterdir():
            left.unlink()
        with suppress(FileNotFoundError):
            self._workspace.database.unlink()
        if sort not in self._sorts:  # of files of other programs
            self._sorts |= hostile_foreign.Foreign(self._folder).sorts()
        self._sorts[sort](chance)

    def _read_file(self, chance: random.Random) -> None:
        self._path.write_bytes(self._file)
        if (how := chance.random()) < 0.6:
            hostile_files.lie(self._path, chance)
        elif how < 0.8:
            self._path.write_bytes(hostile_files.flip_bytes(self._file, chance))
        else:
            self._path.write_bytes(hostile_files.move_bytes(self._file, chance))
        if chance.random() < 0.04:  # recovery looks into damaged files in a process of its own, which takes its time
            self._journal_path.write_bytes(self._journal)
        self._look_everywhere(chance)

    def _read_journal(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self._path.write_bytes(self._file)
        self._journal_path.write_bytes(hostile_texts.hostile_journal(self._journal, chance))
        self._look_everywhere(chance)

    def _look_everywhere(self, chance: random.Random) -> None:
        reader = RunReader("run", self._path, self._journal_path)
        names = [f"samples/{name}" for name in ("index", "radius", "images")]
        looks: list[Callable[[], Any]] = [
            reader.summary, reader.metrics, reader.curves, reader.pictures, reader.log, reader.attributes,
            reader.sample_count, reader.sample_layout, reader.checkpoint, lambda: reader.checkpoint("best"),
            reader.newest_whole_checkpoint, reader.content_digest, reader.folded_summary, reader.folded_sequence,
            *(lambda name=name: reader.array(name) for name in names), lambda: damage(self._path),
            lambda: RunIndex(self._workspace.database).summaries(self._workspace.runs_folder),
            lambda: RunFeed(reader).poll(),
        ]  # fmt: skip
        for look in looks:
            with suppress(UserError):
                look()
        with suppress(UserError):
            recover(reader)
        if self._path.exists():
            again = reader.summary()
            assert again.damaged or again.state.is_end, f"a recovered run is {again.state}"
        if chance.random() < 0.1:
            with suppress(UserError):
                RunRecorder(self._workspace, "run", TrainDenoiserSpec(), resume=True).finish(RunState.FINISHED)

    def _read_preset(self, chance: random.Random) -> None:
        path = self._workspace.runs_folder / "hostile.json"
        path.write_bytes(hostile_texts.hostile_preset(chance.choice(self._presets), chance))
        with suppress(UserError):
            preset = read_preset(path)
            kind = spec_class(preset.kind)
            with suppress(UserError):
                apply_overrides(preset.spec, [f"name={hostile_files.odd_json(chance)!r}", "steps=[["], kind)
            parse_spec({"kind": preset.kind, **preset.spec})


def record_a_run(workspace: Workspace) -> None:
    """A run with something of everything in its file and in its journal, as a killed writer leaves it."""
    recorder = RunRecorder(workspace, "run", TrainDenoiserSpec(name="a run"))
    for step in (1, 2):
        for number in range(20):
            recorder.metric("loss", 100 * step + number, 0.5 * number)
            recorder.metric("validation/accuracy", 100 * step + number, 0.5, 0.4, 0.6)
        recorder.curve("certified", step, np.arange(3.0), np.arange(3.0), np.zeros(3), np.ones(3), interval="CP")
        recorder.images("drawn", step, np.full((2, 3, 3, 1), step, np.uint8), ["one", "two"])
        recorder.samples(index=np.arange(4) + 4 * step, radius=np.full(4, 0.2), images=np.zeros((4, 3, 3, 1), np.uint8))
        recorder.progress(step, 10)
        recorder.note(f"at step {step}")
        recorder.result("robust_accuracy", Measure(0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", "PGD-10"))
        recorder.attribute("parameters", {"count": step, "list": [1, None, "x"]})
        if step == 1:
            recorder.checkpoint(100, bytes(range(256)), {"step": 100}, best=True)
    recorder.close()


def reset_peak() -> int:
    """Forget the most memory that was resident so far; returns what is resident now, in bytes."""
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status_bytes("VmRSS")


def status_bytes(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


def main() -> None:
    """Answer lines until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))  # never the machine's whole memory
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    h5py._errors.silence_errors()
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    fuzzer = Fuzzer(folder, sys.argv[2])
    with guard.one_helper():  # starting one for each input takes most of the time
        answer_lines(fuzzer, answers)


def answer_lines(fuzzer: Fuzzer, answers: IO[str]) -> None:
    """Read what each line names, and say how that went."""
    for line in sys.stdin:
        sort, number = line.split()
        before, began, error = reset_peak(), time.monotonic(), ""
        try:
            fuzzer.read(sort, int(number))
        except UserError:
            pass
        except Exception:
            error = traceback.format_exc(limit=-4)
        peak = status_bytes("VmHWM") - before
        answer = {
            "sort": sort,
            "number": int(number),
            "seconds": time.monotonic() - began,
            "peak": peak,
            "error": error,
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
