"""Reader of published certification logs: the tab-separated files that ``certify.py`` of Cohen et al. 2019 writes.

Columns are ``idx label predict radius correct time``. Files in the wild differ: lines may end in CRLF, ``time`` is
seconds or ``H:MM:SS``, a file may hold only its header, and ``correct`` may be a running total (the denoised-smoothing
code). Correctness is therefore always taken from ``predict == label``.
"""

from __future__ import annotations

import math
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

    cells = [(number, line.split("\t")) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    indices, labels, predictions, radii, seconds = [], [], [], [], []
    for number, row in cells:
        try:
            indices.append(int(row[column["idx"]]))
            labels.append(int(row[column["label"]]))
            predictions.append(int(row[column["predict"]]))
            radii.append(float(row[column["radius"]]))
            seconds.append(parse_duration(row[column["time"]]) if "time" in column else math.nan)
        except (ValueError, IndexError):
            raise UserError(
                f"line {number} of '{path}' is not a row of a certification log: {lines[number - 1][:80]!r}"
            ) from None
        if not 0 <= radii[-1] < math.inf:
            raise UserError(f"line {number} of '{path}' has radius {radii[-1]}; a radius is a number of at least 0")
    whole = (np.array(values, dtype=np.int64) for values in (indices, labels, predictions))
    real = (np.array(values, dtype=np.float64) for values in (radii, seconds))
    return CertificationLog(*whole, *real)


def parse_duration(text: str) -> float:
    """Seconds from ``"12.5"``, ``"0:00:21.17"`` or ``"1 day, 2:03:04"`` (the way Python prints a time difference).

    Raises:
        ValueError: for any other text.
    """
    days, comma, clock = text.strip().rpartition(", ")
    parts = clock.split(":")
    if len(parts) == 1 and not comma:
        return float(clock)
    if len(parts) != 3:
        raise ValueError(f"{text!r} is neither seconds nor H:MM:SS")
    whole_days = int(days.split()[0]) if comma else 0
    hours, minutes, seconds = map(float, parts)
    return 86_400.0 * whole_days + 3_600.0 * hours + 60.0 * minutes + seconds
