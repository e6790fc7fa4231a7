"""Feeds hostile inputs to a reading process and judges what it says.

There must be no crash, no hang, no error but a UserError, and no more memory than a stated bound.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from faults.report import Report

SCRIPT = Path(__file__).with_name("fuzz_child.py")
SORTS = {
    "file": "hostile run file",
    "journal": "hostile journal",
    "preset": "hostile preset",
    "npy": "hostile .npy",
    "npz": "hostile .npz",
    "safetensors": "hostile safetensors",
    "torch": "hostile torch.save",
}
LIMIT_SECONDS = 60.0  # of which recovery may take half to give up what HDF5 reads for ever
ENOUGH = 50  # failures after which a sort is given up
LIMIT_BYTES = 1 << 30
"""What one input may take above what the process had before. The largest honest thing in the inputs takes kilobytes, and
the largest packed data set two gigabytes when unpacked, so whoever unpacks it in one piece is caught."""


class ReadingProcess:
    """A process that reads inputs one by one; after a crash or a hang the next input finds a fresh one."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._command = [sys.executable, str(SCRIPT), str(folder), str(seed)]
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def read(self, sort: str, number: int) -> dict[str, Any]:
        """What became of one input, as the process tells it, or why it told nothing."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(f"{sort} {number}\n")
            process.stdin.flush()
            line = self._answers.get(timeout=LIMIT_SECONDS)
        except queue.Empty:
            self.close()
            return {"error": f"it still read after {LIMIT_SECONDS:g} s"}
        except OSError:
            line = ""
        if not line:
            code = process.wait(10)
            self.close()
            return {"error": f"the process that read it ended with exit code {code}"}
        found: dict[str, Any] = json.loads(line)
        return found

    def _start(self) -> subprocess.Popen[str]:
        folders = [str(SCRIPT.parents[2]), str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        self._answers = queue.Queue()
        threading.Thread(target=_listen, args=(process, self._answers), daemon=True).start()
        return process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answers.put(line)
    except ValueError:  # closed while it was being read
        return
    answers.put("")


def fuzz(folder: Path, inputs: dict[str, int], report: Report, seed: int) -> None:
    """Read so many inputs of each sort."""
    reading = ReadingProcess(folder / "fuzz", seed)
    try:
        for sort, count in inputs.items():
            if count:
                _fuzz_sort(reading, sort, count, report, seed)
    finally:
        reading.close()


def _fuzz_sort(reading: ReadingProcess, sort: str, count: int, report: Report, seed: int) -> None:
    seconds = peak = 0.0
    read = survived = 0
    try:
        for number in range(count):
            found = reading.read(sort, number)
            error = found["error"]
            if not error and found["peak"] > LIMIT_BYTES:
                error = f"it took {found['peak'] / 1e6:,.0f} MB; {LIMIT_BYTES / 1e6:,.0f} MB are the bound"
            if error:
                report.complain(f"{SORTS[sort]} {number} of seed {seed}: {error}")
            read += 1
            survived += not error
            if read - survived >= ENOUGH:
                report.complain(f"{SORTS[sort]}: given up after {ENOUGH} failures of {read}")
                break
            seconds, peak = max(seconds, found.get("seconds", 0.0)), max(peak, found.get("peak", 0.0))
            if read % 500 == 0:
                report.say(f"{SORTS[sort]}: {read} of {count} read")
    finally:
        report.tally(SORTS[sort]).add(injected=read, readable=survived)
        report.notes.append(f"{SORTS[sort]}: the slowest took {seconds:.2f} s, the largest {peak / 1e6:,.0f} MB")
