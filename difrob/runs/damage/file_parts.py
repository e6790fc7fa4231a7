"""A run file, piece by piece: each can be read when its neighbours cannot.

Looking for damage and saving what is left of a damaged file walk over the same pieces, so that what is called whole is what
can be saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.runs.file_contents import (
    UNREADABLE,
    folded_sequence,
    group_in,
    groups_in,
    numbers,
    open_run_file,
    read_attributes,
    read_batch,
    read_checkpoint,
    read_curve,
    read_log,
    read_series,
    system_error,
    text,
)
from difrob.runs.interface import Checkpoint
from difrob.runs.schema import Damaged

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Piece:
    """One piece: ``kind`` says what :attr:`read` gives, ``name`` is for people and unique in its file.

    ``read`` reads all of it and raises what h5py raises (or ValueError) when it is damaged.
    """

    kind: str
    name: str
    read: Callable[[], Any]


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint as it lies in the file."""

    checkpoint: Checkpoint
    best: bool


def pieces_of(file: h5py.File, *, bulk: bool = True) -> Iterator[Piece]:
    """All pieces of an open run file. What cannot even be listed is a piece as well, which cannot be read.

    Args:
        bulk: False for whoever wants to know only whether HDF5 gets through them: of samples the first and the last row are
            then read, and of checkpoints everything but the weights, and :attr:`Piece.read` gives nothing for both.
    """
    yield Piece("summary", "the summary", lambda: json.loads(file.attrs["summary"]))
    yield Piece("spec", "the specification", lambda: dict(json.loads(text(file, "spec"))))
    yield Piece("sequence", "the link to the journal", lambda: folded_sequence(file))
    yield Piece("facts", "the versions", lambda: dict(json.loads(file.attrs["facts"])))
    yield Piece("parents", "the parents", lambda: dict(json.loads(file.attrs["parents"])))
    yield Piece("attributes", "the attributes", lambda: read_attributes(file))
    yield Piece("log", "the log", lambda: read_log(file))
    yield from _listed(file, "metrics", "the list of metrics", _metric)
    yield from _listed(file, "curves", "the list of curves", lambda group, key: _steps("curve", group, key, read_curve))
    yield from _listed(
        file, "images", "the list of pictures", lambda group, key: _steps("pictures", group, key, read_batch)
    )
    yield from _listed(file, "samples", "the list of sample columns", _sample_column if bulk else _sample_ends)
    yield from _listed(file, "checkpoints", "the list of checkpoints", _checkpoint if bulk else _checkpoint_facts)
    yield Piece("results", "the results", lambda: _results(file))


def _listed(
    file: h5py.File, section: str, name: str, inside: Callable[[h5py.Group, str], Iterator[Piece]]
) -> Iterator[Piece]:
    """The pieces of one section, after the piece that is the list of them."""
    found: list[tuple[h5py.Group, str]] = []

    def read() -> list[str]:
        group = group_in(file, section)
        keys = sorted(group)
        found.extend((group, key) for key in keys)
        return keys

    yield Piece("list", name, read)
    for group, key in found:
        yield from inside(group, key)


def _metric(section: h5py.Group, key: str) -> Iterator[Piece]:
    def read() -> Any:
        group = group_in(section, key)
        return str(group.attrs["name"]), read_series(group)

    yield Piece("metric", f"metric '{key}'", read)


def _steps(kind: str, section: h5py.Group, key: str, read: Callable[[h5py.Group, str], Any]) -> Iterator[Piece]:
    steps: list[tuple[h5py.Group, str]] = []

    def read_list() -> list[str]:
        group = group_in(section, key)
        steps.extend((group, step) for step in sorted(group))
        return [step for _, step in steps]

    yield Piece("list", f"the steps of {kind} '{key}'", read_list)
    for group, step in steps:
        yield Piece(kind, f"{kind} '{key}' at step {_number(step)}", lambda g=group, s=step: read(g, s))  # type: ignore[misc]


def _sample_column(section: h5py.Group, key: str) -> Iterator[Piece]:
    def read() -> tuple[str, h5py.Dataset]:
        column = numbers(section, key)
        block = _block_rows(column)
        for start in range(0, len(column), block):  # to see that it can be read; it may be larger than the memory
            column[start : start + block]
        return key, column

    yield Piece("samples", f"sample column '{key}'", read)


def _checkpoint(section: h5py.Group, key: str) -> Iterator[Piece]:
    def read() -> StoredCheckpoint:
        group = group_in(section, key)
        checkpoint = read_checkpoint(group)
        if checkpoint is None:
            raise ValueError("its weights do not fit their digest")
        return StoredCheckpoint(checkpoint, bool(group.attrs["best"]))

    yield Piece("checkpoint", f"the checkpoint at step {_number(key)}", read)


def _block_rows(column: h5py.Dataset) -> int:
    """Rows to read at once: never less than what lies packed together, or every read would unpack all of that anew."""
    row_bytes = max(1, column.nbytes // max(1, len(column)))
    return max(1, _BLOCK_BYTES // row_bytes, column.chunks[0] if column.chunks else 1)


def _sample_ends(section: h5py.Group, key: str) -> Iterator[Piece]:
    def read() -> None:
        column = numbers(section, key)
        if len(column):
            column[0], column[-1]

    yield Piece("look", f"sample column '{key}'", read)


def _checkpoint_facts(section: h5py.Group, key: str) -> Iterator[Piece]:
    def read() -> None:
        group = group_in(section, key)
        numbers(group, "weights"), text(group, "state"), dict(group.attrs)

    yield Piece("look", f"the checkpoint at step {_number(key)}", read)


def _results(file: h5py.File) -> dict[str, dict[str, Any]]:
    found = {}
    for group in groups_in(file, "summary").values():
        values = {key: value.item() if isinstance(value, np.generic) else value for key, value in group.attrs.items()}
        values.pop("sentence", None)  # made from the others, for people who look into the file
        if "conditions" in values:
            values["conditions"] = json.loads(values["conditions"])
        found[str(values.pop("name"))] = values
    return found


def _number(key: str) -> str:
    return str(int(key)) if key.isdecimal() else f"'{key}'"


def damage(path: Path) -> str:
    """The first thing that is damaged in a run file, in one sentence, after reading all of it; "" when nothing is.

    Raises:
        UserError: when it cannot be read for another reason.
    """
    try:
        with open_run_file(path) as file:
            for piece in pieces_of(file):
                try:
                    piece.read()
                except UNREADABLE as error:
                    if system_error(error) is not None:
                        raise
                    return f"{piece.name} in '{path}' is damaged: {why_unreadable(error)}"
    except Damaged as error:
        return str(error)
    return ""


def why_unreadable(error: Exception) -> str:
    """The first line of an error of h5py, which may have many."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return (str(message).splitlines() or [type(error).__name__])[0]


__all__ = ["Piece", "StoredCheckpoint", "UNREADABLE", "damage", "pieces_of", "why_unreadable"]
