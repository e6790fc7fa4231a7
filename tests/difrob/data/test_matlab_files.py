"""MATLAB files of version 5: what SciPy reads is read alike, and files written by hand as the specification says."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from difrob.data.formats.matlab import read_headers, read_values
from difrob.errors import UserError

KINDS = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"]


def values_of(path: Path, name: str, at_once: int = 1000) -> np.ndarray:
    """A variable as an array."""
    array = read_headers(path)[name]
    return np.concatenate([*read_values(path, array, at_once)]).reshape(array.shape, order="F")


def element(order: str, kind: int, data: bytes) -> bytes:
    """An element with filling, in the small form where the data fit into the tag."""
    if 1 <= len(data) <= 4:
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def variable(order: str, name: str, shape: tuple[int, ...], array_class: int, stored: int, data: bytes) -> bytes:
    """A variable as the specification lays it out."""
    parts = [
        element(order, 6, struct.pack(f"{order}II", array_class, 0)),
        element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape)),
        element(order, 1, name.encode()),
        element(order, stored, data),
    ]
    body = b"".join(parts)
    return struct.pack(f"{order}II", 14, len(body)) + body


def written(path: Path, order: str, *variables: bytes, packed: bool = False) -> Path:
    """A file of variables."""
    if packed:
        zipped = [zlib.compress(data) for data in variables]
        variables = tuple(struct.pack(f"{order}II", 15, len(data)) + data for data in zipped)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    path.write_bytes(header + b"".join(variables))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_scipy_writes_and_reads(tmp_path: Path, kind: str, packed: bool) -> None:
    source = np.random.default_rng(0)
    arrays = {"X": source.integers(0, 100, (3, 4, 2, 5)).astype(kind), "y": source.integers(0, 9, (5, 1)).astype(kind)}
    savemat(tmp_path / "a.mat", arrays, do_compression=packed)
    reference = loadmat(tmp_path / "a.mat")
    headers = read_headers(tmp_path / "a.mat")
    assert {name: header.shape for name, header in headers.items()} == {"X": (3, 4, 2, 5), "y": (5, 1)}
    for name in arrays:
        for at_once in (1, 7, 1000):
            found = values_of(tmp_path / "a.mat", name, at_once)
            assert found.dtype == reference[name].dtype == np.dtype(kind)
            assert np.array_equal(found, reference[name])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_files_written_by_hand(tmp_path: Path, order: str, packed: bool) -> None:
    """Both byte orders; small elements; doubles stored as bytes, as MATLAB stores whole numbers."""
    path = written(
        tmp_path / "a.mat",
        order,
        variable(order, "y", (3, 1), 6, 2, bytes([1, 10, 3])),
        variable(order, "long_name", (2, 3), 12, 3, struct.pack(f"{order}6h", 1, -2, 3, 4, 5, -600)),
        packed=packed,
    )
    assert values_of(path, "y").tolist() == [[1.0], [10.0], [3.0]] and read_headers(path)["y"].dtype == np.float64
    assert values_of(path, "long_name").tolist() == [[1, 3, 5], [-2, 4, -600]]
    assert np.array_equal(loadmat(path)["long_name"], values_of(path, "long_name"))


@pytest.mark.parametrize(
    "value", [np.array([1 + 2j]), np.array(["text"]), np.array([{}], object), {"field": 1.0}], ids=str
)
def test_what_is_no_array_of_real_numbers_has_no_type(tmp_path: Path, value: Any) -> None:
    savemat(tmp_path / "a.mat", {"v": value, "w": np.ones((2, 2))})
    headers = read_headers(tmp_path / "a.mat")
    assert headers["v"].dtype is None and np.array_equal(values_of(tmp_path / "a.mat", "w"), np.ones((2, 2)))
    with pytest.raises(UserError, match="holds no numbers"):
        list(read_values(tmp_path / "a.mat", headers["v"], 10))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (variable("<", "v", (1 << 30, 4), 9, 2, b"12345678"), r"'v' \[1073741824, 4\] has 8 bytes of values"),
        (variable("<", "v", (-2, -4), 9, 2, b"12345678"), r"'v' has axes \[-2, -4\]"),
        (variable("<", "v", (), 9, 2, b"12345678"), r"has axes \[\]"),
        (variable("<", "v", (1,) * 33, 9, 2, b"1"), "a part of type 5 with 132 bytes"),
        (variable("<", "v" * 1025, (1, 1), 9, 2, b"1"), "a part of type 1 with 1025 bytes"),
        (variable("<", "v", (1, 1), 9, 9, bytes(8)), "values of type 9 for uint8"),
        (variable("<", "v", (1, 1), 9, 77, bytes(8)), "values of type 77 for uint8"),
        (variable("<", "v", (8, 1), 9, 2, bytes(8))[:-8], "bytes are missing|values end too early|no whole variable"),
        (variable("<", "v", (8, 1), 9, 2, bytes(8)) + bytes(8), "more values than announced|no whole variable"),
    ],
)
def test_announcements_that_are_not_kept(tmp_path: Path, bad: bytes, words: str, packed: bool) -> None:
    path = written(tmp_path / "a.mat", "<", bad, packed=packed)
    with pytest.raises(UserError, match=f"'a.mat' is damaged or cut off .*({words}).*; get it again"):
        values_of(path, "v")


def test_a_wrong_checksum_of_packed_values_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", "<", variable("<", "v", (8, 1), 9, 2, bytes(8)), packed=True)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="incorrect data check"):
        values_of(path, "v")


@pytest.mark.parametrize("data", [b"", b"text " * 100, bytes(128), b"x" * 124 + b"\x00\x03IM"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(UserError, match="'a.mat' is damaged or"):
        read_headers(tmp_path / "a.mat")


def test_very_many_variables_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", "<", *[variable("<", "v", (1, 1), 9, 2, b"1")] * 1001)
    with pytest.raises(UserError, match="more than 1000 variables"):
        read_headers(path)
