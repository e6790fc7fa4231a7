"""JSON objects from disk: how large, how deep and of what kind a file may be is decided here, once for all readers."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from difrob.errors import UserError

MAX_DEPTH = 64
_AT_ONCE = 1 << 20


def read_json_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """The object that a file holds. A pipe or a device, which might never end, is not opened for reading.

    Args:
        most_bytes: the size above which the file is refused, whatever is in it.

    Raises:
        OSError: when the file cannot be opened or read.
        UserError: saying what is wrong with its content: no regular file, too large, not UTF-8 or JSON, nested too
            deep, a key twice in one object (of which one value would silently win), or no object.
    """
    text = _bounded_bytes(path, most_bytes)
    try:
        values = json.loads(text.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise UserError(f"it is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise UserError(f"it is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError("it holds no object")
    if _is_deeper(values, MAX_DEPTH):
        raise UserError(f"it is nested more than {MAX_DEPTH} deep")
    return values


def _bounded_bytes(path: Path, most_bytes: int) -> bytes:
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError("it is not a regular file")
        pieces: list[bytes] = []
        left = most_bytes + 1
        while left and (piece := file.read(min(left, _AT_ONCE))):
            pieces.append(piece)
            left -= len(piece)
    if not left:
        raise UserError(f"it is larger than {most_bytes} bytes")
    return b"".join(pieces)


def _open_at_once(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to would wait for ever; where the flag exists, it does not wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} stands twice in one object")
        values[key] = value
    return values


def _is_deeper(values: Any, depth: int) -> bool:
    """Whether ``values`` are nested more than ``depth`` deep; a level at a time, so that no depth is too much for it."""
    level = [values]
    for _ in range(depth):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
