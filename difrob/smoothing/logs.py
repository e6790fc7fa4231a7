"""Reader of published certification logs: the tab-separated files that ``certify.py`` of Cohen et al. 2019 writes.

Columns are ``idx label predict radius correct time``. Files in the wild differ: lines may end in CRLF, ``time`` is
seconds or ``H:MM:SS``, a file may hold only its header, and ``correct`` may be a running total (the denoised-smoothing
code). Correctness is therefore always taken from ``predict == label``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from difrob.errors import UserError

REQUIRED_COLUMNS = ("idx", "label", "predict", "radius")
MAX_LOG_BYTES = 200_000_000


@dataclass(frozen=True)
class CertificationLog:
    """Rows of a log. The noise level is not part of the file, only of its path.

    Attributes:
        indices, labels, predictions: int64 [M]; prediction -1 is an abstention.
        radii: float64 [M], [0,1] intensity units, as printed (usually three digits).
        seconds: float64 [M]; NaN where the log has no time.
    """

    indices: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    radii: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_certification_log(path: Path) -> CertificationLog:
    """Read one log; nothing in it is executed.

    Raises:
        UserError: when the file cannot be read, is no certification log, or has a broken row, named by its line.
    """
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            raise UserError(f"'{path}' is larger than {MAX_LOG_BYTES} bytes; it is not a certification log")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read certification log '{path}': {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"'{path}' is not a text file, so not a certification log") from None

    header = lines[0].strip().split("\t") if lines else []
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        raise UserError(f"'{path}' is not a certification log: its first line lacks {', '.join(missing)}")
    column = {name: header.index(name) for name in header}

    rows: list[tuple[int, int, int, float, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        try:
            index, label, prediction = (int(cells[column[name]]) for name in ("idx", "label", "predict"))
            radius = float(cells[column["radius"]])
            seconds = parse_duration(cells[column["time"]]) if "time" in column else float("nan")
        except (ValueError, IndexError):
            raise UserError(f"line {number} of '{path}' is not a row of a certification log: {line[:80]!r}") from None
        if not (np.isfinite(radius) and radius >= 0):
            raise UserError(f"line {number} of '{path}' has radius {radius}; a radius is a number of at least 0")
        rows.append((index, label, prediction, radius, seconds))

    whole = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3)
    real = np.array([row[3:] for row in rows], dtype=np.float64).reshape(-1, 2)
    return CertificationLog(whole[:, 0], whole[:, 1], whole[:, 2], real[:, 0], real[:, 1])


def parse_duration(text: str) -> float:
    """Seconds from ``"12.5"``, ``"0:00:21.17"`` or ``"1 day, 2:03:04"`` (the way Python prints a time difference).

    Raises:
        ValueError: for any other text.
    """
    days, comma, clock = text.strip().rpartition(", ")
    whole_days = int(days.split()[0]) if comma else 0
    parts = [float(part) for part in clock.split(":")]
    if len(parts) == 1 and not comma:
        return parts[0]
    if len(parts) != 3:
        raise ValueError(f"{text!r} is neither seconds nor H:MM:SS")
    hours, minutes, seconds = parts
    return 86_400.0 * whole_days + 3_600.0 * hours + 60.0 * minutes + seconds
