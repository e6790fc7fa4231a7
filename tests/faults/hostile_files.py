"""Run files made hostile: bytes flipped, cut or copied about, and HDF5 that is sound but lies."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HUGE = 1 << 40
BOMB_BYTES = 1 << 31  # of zeros, which gzip packs into two megabytes
TEXTS = (
    "", "{}", "[]", "null", "NaN", '{"state": "finished"}', '{"run_id": 1e999}', "[" * 5000, "ä" * 10, "\x00",
    "x" * 70_000,
)  # fmt: skip
NUMBERS = (0, -1, 1 << 62, -(1 << 63), float("nan"), float("inf"), 1e308, True)


def flip_bytes(data: bytes, chance: random.Random) -> bytes:
    """Change one to fifty bytes, half of the times near the beginning, where HDF5 keeps its structure."""
    found = bytearray(data)
    reach = min(len(found), 2000) if chance.random() < 0.5 else len(found)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 50])):
        if reach:
            found[chance.randrange(reach)] = chance.choice([0, 255, chance.randrange(256)])
    return bytes(found)


def move_bytes(data: bytes, chance: random.Random) -> bytes:
    """Cut the end off, put garbage behind, blank a stretch, or copy a stretch to another place."""
    at, size = chance.randrange(len(data) + 1), chance.randrange(1, 4096)
    other = chance.randrange(len(data) + 1)
    return chance.choice([
        lambda: data[:at],
        lambda: data + chance.randbytes(size),
        lambda: data[:at] + bytes(size) + data[at + size :],
        lambda: data[:at] + data[other : other + size] + data[at + size :],
        lambda: data[:at] + data[at + size :],
        lambda: chance.randbytes(size),
    ])()  # fmt: skip


def lie(path: Path, chance: random.Random) -> None:
    """Change a sound run file with h5py in one to four places, so that it is sound HDF5 and no sound run file."""
    with h5py.File(path, "r+") as file:
        for _ in range(chance.choice([1, 1, 2, 4])):
            places: list[str] = []
            file.visit(places.append)
            where = chance.choice(places) if places else ""
            try:
                chance.choice(LIES)(file, where, chance)
            except (ValueError, KeyError, OSError, RuntimeError, TypeError):
                continue  # HDF5 itself forbids this one here


def _replace(file: h5py.File, where: str, make: Callable[[h5py.Group, str], Any]) -> None:
    group, _, name = where.rpartition("/")
    parent = file[group] if group else file
    attributes = dict(file[where].attrs)
    del parent[name]
    make(parent, name)
    if parent.get(name, getlink=True) is not None and isinstance(parent.get(name, getlink=True), h5py.HardLink):
        for key, value in attributes.items():
            parent[name].attrs[key] = value


def _odd_data(file: h5py.File, where: str, chance: random.Random) -> None:
    length = chance.choice([0, 1, 3, 100])
    values = chance.choice([
        np.zeros(length, [("a", "f8"), ("b", "i4")]),
        np.zeros(length, np.complex64),
        np.zeros(length, ">i2"),
        np.zeros(length, np.float16),
        np.zeros(length, bool),
        np.zeros((length, 2)),
        np.zeros((0, 5, 0)),
        np.full(length, np.nan),
        np.full(length, -(1 << 62)),
        np.array(["text"] * length, h5py.string_dtype()),
        np.array([b"x"] * length, "S3"),
        np.float64(1.0),
        "text",
        h5py.Empty("f8"),
        h5py.Empty(h5py.string_dtype()),
        np.zeros(length, h5py.enum_dtype({"a": 0, "b": 1}, basetype="i1")),
        np.zeros(length, np.dtype("V8")),
    ])  # fmt: skip
    _replace(file, where, lambda group, name: group.create_dataset(name, data=values))


def _ragged(file: h5py.File, where: str, chance: random.Random) -> None:
    def make(group: h5py.Group, name: str) -> None:
        group.create_dataset(name, (3,), h5py.vlen_dtype(np.float64))[1] = np.arange(4.0)

    _replace(file, where, make)


def _reference(file: h5py.File, where: str, chance: random.Random) -> None:
    _replace(file, where, lambda group, name: group.create_dataset(name, data=file.ref, dtype=h5py.ref_dtype))


def _huge(file: h5py.File, where: str, chance: random.Random) -> None:
    shape = chance.choice([(HUGE,), (HUGE, 4), (1 << 20, 1 << 10, 8, 8), (1 << 31,)])
    kind = chance.choice(["f8", "u1", "i4"])
    filters = chance.choice([{}, {"compression": "gzip"}, {"shuffle": True, "fletcher32": True}])
    chunks = tuple(min(side, 64) for side in shape)
    _replace(file, where, lambda group, name: group.create_dataset(name, shape, kind, chunks=chunks, **filters))


def _bomb(file: h5py.File, where: str, chance: random.Random) -> None:
    """Data that are really there, and a thousand times smaller in the file."""
    part = 1 << 24
    kind = chance.choice(["u1", "f8"])
    count = (BOMB_BYTES >> chance.randrange(6)) // np.dtype(kind).itemsize

    def make(group: h5py.Group, name: str) -> None:
        chunk = min(count, part // np.dtype(kind).itemsize)
        dataset = group.create_dataset(name, (count,), kind, chunks=(chunk,), compression="gzip")
        packed = packed_zeros(part)
        for start in range(0, count, chunk):
            dataset.id.write_direct_chunk((start,), packed)

    _replace(file, where, make)


@lru_cache
def packed_zeros(size: int) -> bytes:
    """So many zeros as gzip packs them."""
    return zlib.compress(bytes(size), 1)


def _link(file: h5py.File, where: str, chance: random.Random) -> None:
    link = chance.choice([
        h5py.ExternalLink("/etc/passwd", "/"),
        h5py.ExternalLink(file.filename, "/metrics"),
        h5py.ExternalLink("gone.h5", "/"),
        h5py.SoftLink("/"),
        h5py.SoftLink("/gone"),
        h5py.SoftLink(f"/{where}"),
        h5py.SoftLink(".."),
    ])  # fmt: skip

    def make(group: h5py.Group, name: str) -> None:
        group[name] = link

    _replace(file, where, make)


def _cycle(file: h5py.File, where: str, chance: random.Random) -> None:
    groups = [item for item in (file, file[where], file[where].parent) if isinstance(item, h5py.Group)]
    chance.choice(groups)[chance.choice(["again", "0", "step", "x"])] = chance.choice(groups)


def _virtual(file: h5py.File, where: str, chance: random.Random) -> None:
    layout = h5py.VirtualLayout((100,), "f8")
    layout[:] = h5py.VirtualSource(chance.choice(["gone.h5", file.filename, "/etc/passwd"]), "x", (100,))
    _replace(file, where, lambda group, name: group.create_virtual_dataset(name, layout))


def _stored_outside(file: h5py.File, where: str, chance: random.Random) -> None:
    outside = [("/etc/passwd", 0, 800)]
    _replace(file, where, lambda group, name: group.create_dataset(name, (100,), "f8", external=outside))


def _delete(file: h5py.File, where: str, chance: random.Random) -> None:
    del file[where]


def _group(file: h5py.File, where: str, chance: random.Random) -> None:
    _replace(file, where, lambda group, name: group.create_group(name))


def _stranger(file: h5py.File, where: str, chance: random.Random) -> None:
    parent = file[where] if isinstance(file[where], h5py.Group) else file[where].parent
    name = chance.choice(["new", "\udcff\udcfe", "a" * 5000, ".", "-1", "1e9", "00000000000000000009", "\n"])
    if chance.random() < 0.5:
        parent.create_group(name)
    else:
        parent[name] = np.arange(3.0)


def _attribute(file: h5py.File, where: str, chance: random.Random) -> None:
    item = chance.choice([file, file[where]])
    names = list(item.attrs)
    name = chance.choice([*names, "name", "summary", "schema_version"])
    values = (
        None, chance.choice(TEXTS), chance.choice(NUMBERS), np.zeros(5), np.array([], "f8"), h5py.Empty("f8"),
        np.array(["a", "b"], h5py.string_dtype()), np.zeros(2, [("a", "f8")]), b"\xff\xfe\x00", np.complex128(1j),
    )  # fmt: skip
    value = chance.choice(values)
    if value is None:
        del item.attrs[name]
    else:
        item.attrs[name] = value


def _json_attribute(file: h5py.File, where: str, chance: random.Random) -> None:
    """A summary that is JSON, with something odd in one field."""
    summary = json.loads(file.attrs["summary"])
    spoil_json(summary, chance)
    file.attrs["summary"] = json.dumps(summary)


def _json_data(file: h5py.File, where: str, chance: random.Random) -> None:
    name = chance.choice([name for name in ("attributes", "spec", where) if name in file])
    _replace(file, name, lambda group, leaf: group.create_dataset(leaf, data=chance.choice(TEXTS)))


def spoil_json(value: Any, chance: random.Random) -> None:
    """Put something odd into one place of a JSON object or list."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.7:
            value = value[key]
            continue
        value[key] = odd_json(chance)
        return


def odd_json(chance: random.Random, depth: int = 0) -> Any:
    """A JSON value of any shape."""
    leaves = (
        None,
        True,
        "",
        "x" * 300,
        0,
        -1,
        1 << 70,
        -(1 << 63),
        0.5,
        1e308,
        float("nan"),
        float("-inf"),
        "\ud800",
        "1",
    )
    if depth > 3 or chance.random() < 0.6:
        return chance.choice(leaves)
    if chance.random() < 0.5:
        return [odd_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {
        chance.choice(["kind", "name", "step", "", "a"]): odd_json(chance, depth + 1)
        for _ in range(chance.randrange(4))
    }


LIES: list[Callable[[h5py.File, str, random.Random], None]] = [
    _odd_data, _odd_data, _ragged, _reference, _huge, _bomb, _link, _cycle, _virtual, _stored_outside, _delete, _group,
    _stranger, _attribute, _attribute, _json_attribute, _json_data,
]  # fmt: skip
