"""The process in which :mod:`difrob.runs.damage.inspection` looks into files: asked and answering in lines of JSON."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.runs.damage.limits import BYTES_PER_SECOND, LIMIT_SECONDS, THE_FILE
from difrob.runs.damage.salvage import Remains, walk, write_remains
from difrob.runs.schema import Damaged


def _say(*words: Any) -> None:
    print(json.dumps(words), flush=True)


def _serve() -> None:
    _say("ready")
    for line in sys.stdin:
        path, target, run_id, skip, bulk = json.loads(line)
        _set_end(Path(path))
        _serve_one(Path(path), None if target is None else Path(target), run_id, skip, bulk)
        _set_end(None)


def _set_end(path: Path | None) -> None:
    """Let the system end this process when HDF5 reads for ever and whoever would have ended it was killed meanwhile."""
    if hasattr(signal, "alarm"):
        size = path.stat().st_size if path is not None and path.exists() else 0
        signal.alarm(0 if path is None else 60 + int(20 * (LIMIT_SECONDS + size / BYTES_PER_SECOND)))


def _serve_one(path: Path, target: Path | None, run_id: str, lost: dict[str, str], bulk: bool) -> None:
    def note(name: str, why: str) -> None:
        lost[name] = why
        _say("lost", name, why)

    def work(file: Any, remains: Remains) -> None:
        if target is not None:
            write_remains(target, run_id, file, remains, lost)

    try:
        broken = walk(path, lost.keys(), lambda name: _say("begin", name), note, work, bulk=bulk)
        for heap in broken:
            if heap.is_endless:
                _say("peril", f"HDF5 reads the texts at byte {heap.start} for ever")
        _say("end")
    except Damaged as error:
        _say("lost", THE_FILE, str(error))
        _say("end")
    except UserError as error:
        _say("refused", str(error))
    except OSError as error:
        _say("failed", error.errno or 0, error.strerror or str(error))


if __name__ == "__main__":
    _serve()
