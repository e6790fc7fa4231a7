"""Looking into run files that may be damaged, from a distance: in a process of its own, which is ended if it hangs.

HDF5 2.0 neither crashes nor hangs on most damage, but on some: of 2,011 places of a small file at which one byte was turned
over, 4 made it read for ever. A check of a whole workspace must survive that, and name the piece at which it happened.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from difrob.errors import UserError
from difrob.runs.damage.limits import BYTES_PER_SECOND, LIMIT_SECONDS, THE_FILE


@dataclass
class Inspection:
    """What was found in one file.

    Attributes:
        lost: why a piece cannot be read, by its name; empty for a whole file.
        read: how many pieces could be read.
        refused: why the file could not be looked at although it need not be damaged, e.g. a newer difrob's; else "".
        peril: what would become of a process that reads the file without this care, in words; "" where it gets through.
    """

    lost: dict[str, str] = field(default_factory=dict)
    read: int = 0
    refused: str = ""
    peril: str = ""

    @property
    def is_whole(self) -> bool:
        """Nothing is lost, and everything was looked at."""
        return not self.lost and not self.refused


class Inspector:
    """Looks into files, one after the other. A context manager; the process starts with the first file."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit = limit_seconds
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._answers: queue.Queue[list[Any]] = queue.Queue()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one; a later question starts another."""
        self._end()

    def inspect(self, path: Path) -> Inspection:
        """Read every piece of a file, changing nothing."""
        return self._until_done(path, None, "")

    def peril(self, path: Path) -> str:
        """Why no process should read a file that has to live; "" for one that is read to its end, damaged or not.

        Samples and weights are looked at, not read in full.
        """
        lost: dict[str, str] = {}
        found = self._once(path, None, "", lost, bulk=False)
        return found.peril if found is not None else "; ".join(f"{name}: {why}" for name, why in lost.items())

    def save(self, path: Path, target: Path, run_id: str) -> Inspection:
        """Write everything readable in ``path`` into the new file ``target``, which is not there if nothing could be saved.

        Raises:
            OSError: when the disk is full or refuses.
        """
        return self._until_done(path, target, run_id)

    def _until_done(self, path: Path, target: Path | None, run_id: str) -> Inspection:
        lost: dict[str, str] = {}
        while True:
            found = self._once(path, target, run_id, lost)
            if found is not None:
                return found

    def _once(
        self, path: Path, target: Path | None, run_id: str, lost: dict[str, str], *, bulk: bool = True
    ) -> Inspection | None:
        """One walk over the pieces but those ``lost``; None when it ended at one more, which was added to them."""
        self._ask([str(path), None if target is None else str(target), run_id, lost, bulk])
        limit = self._limit / 5 ** min(len(lost), 2) + path.stat().st_size / BYTES_PER_SECOND
        found, at, begun = Inspection(dict(lost)), "", set[str]()
        while True:
            try:
                word, *values = self._answers.get(timeout=limit)
            except queue.Empty:
                why = f"reading it takes longer than {limit:.0f} s"
                break
            if word == "gone":
                why = "HDF5 crashes while reading it"
                break
            if word == "begin":
                at = values[0]
                begun.add(at)
            elif word == "lost":
                found.lost[values[0]] = values[1]
            elif word == "peril":
                found.peril = values[0]
            elif word == "refused":
                found.refused = values[0]
                return found
            elif word == "failed":
                raise OSError(*values)
            else:
                found.read = len(begun - found.lost.keys() - {"", THE_FILE})
                return found
        self._end()
        if target is not None:
            target.unlink(missing_ok=True)
        if at in ("", THE_FILE) or at in lost:
            found.lost[THE_FILE] = found.peril = why
            return found
        lost[at] = why
        return None

    def _ask(self, question: list[Any]) -> None:
        if self._process is not None and self._process.poll() is not None:  # killed from outside between two files
            self._end()
        if self._process is None:
            self._answers = queue.Queue()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "difrob.runs.damage.inspection_child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            )  # fmt: skip
            self._thread = threading.Thread(
                target=_listen, args=(self._process, self._answers), name="inspection", daemon=True
            )
            self._thread.start()
            if self._answers.get()[0] != "ready":
                self._end()
                raise UserError("the process that looks into run files does not start; 'difrob doctor' may say why")
        assert self._process.stdin is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)

    def _end(self) -> None:
        if self._process is not None and self._thread is not None:
            self._process.kill()
            self._process.wait()
            self._thread.join()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        self._process = self._thread = None


def _listen(process: subprocess.Popen[str], answers: queue.Queue[list[Any]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(json.loads(line))
    answers.put(["gone"])
