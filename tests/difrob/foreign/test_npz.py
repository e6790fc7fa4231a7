"""Archives of arrays from anywhere: whole, in blocks, and every way of lying about sizes."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from difrob.errors import UserError
from difrob.foreign import open_npz, read_npy

ARRAYS = npst.arrays(
    st.sampled_from([np.uint8, np.int64, np.float32, np.float16, np.bool_, np.dtype(">i4"), np.dtype("U3")]),
    npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """An archive like those of generated training images."""
    path = tmp_path / "release.npz"
    generator = np.random.default_rng(0)
    np.savez(path, image=generator.integers(0, 256, (100, 32, 32, 3), np.uint8), label=np.arange(100) % 10)
    return path


@given(st.dictionaries(st.sampled_from(["image", "label", "x y", "ünï"]), ARRAYS, min_size=1), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_come_back_whole_and_in_blocks(tmp_path: Path, arrays: dict[str, np.ndarray], packed: bool) -> None:
    path = tmp_path / "x.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    with open_npz(path) as archive:
        assert archive.arrays == {name: (array.shape, array.dtype) for name, array in arrays.items()}
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive.read(name), array)
            for rows in (1, 3, 100):
                blocks = list(archive.blocks(name, rows))
                assert all(1 <= len(block) <= rows for block in blocks) and sum(map(len, blocks)) == len(array)
                np.testing.assert_array_equal(np.concatenate([array[:0], *blocks]), array)


def test_columns_lying_together_are_read_whole_but_not_in_blocks(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.savez(tmp_path / "x.npz", a=array, single=np.float64(3))
    with open_npz(tmp_path / "x.npz") as archive:
        np.testing.assert_array_equal(archive.read("a"), array)
        with pytest.raises(UserError, match="ascontiguousarray"):
            next(archive.blocks("a", 2))
        assert archive.read("single") == 3
        with pytest.raises(UserError, match="has no rows"):
            next(archive.blocks("single", 2))
        with pytest.raises(UserError, match="has no array 'b', only a, single"):
            archive.read("b")
        with pytest.raises(ValueError, match="at least one row"):
            next(archive.blocks("a", 0))


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_need_no_memory_for_the_rest(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "large.npz"
    (np.savez_compressed if packed else np.savez)(path, image=np.zeros((20_000, 32, 32, 3), np.uint8))
    tracemalloc.start()
    with open_npz(path) as archive:
        assert sum(len(block) for block in archive.blocks("image", 256)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # of 61 MB


def test_objects_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(ran),)

    np.savez(tmp_path / "x.npz", a=np.array([Trap()], dtype=object))
    np.save(tmp_path / "x.npy", np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match="holds Python objects"):
        open_npz(tmp_path / "x.npz")
    with pytest.raises(UserError, match="holds Python objects"):
        read_npy(tmp_path / "x.npy")
    assert not ran.exists()


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive_of(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (header("(1000000000000,)"), "claims 1000000000000 bytes"),
        (header("(9999999999999999999999,)"), "claims 9999999999999999999999 bytes"),
        (header("(-1,)"), "no array has"),
        (header("(True,)"), "no array has|no array of NumPy|claims"),
        (header("(2,)", "[('a', '<f4')]"), "not supported"),
        (header("__import__('os').getpid()"), "no array of NumPy"),
        (header("(" * 300 + ")" * 300), "no array of NumPy"),
        (b"\x93NUMPY\x09\x00", "version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "no array of NumPy"),
        (b"", "no array of NumPy"),
        (b"PK", "no array of NumPy"),
    ],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path: Path, head: bytes, words: str) -> None:
    path = archive_of(tmp_path / "x.npz", {"a.npy": head + bytes(8)})
    (tmp_path / "x.npy").write_bytes(head + bytes(8))
    tracemalloc.start()
    with pytest.raises(UserError, match=words):
        open_npz(path)
    with pytest.raises(UserError, match=words):
        read_npy(tmp_path / "x.npy")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "name", ["../a.npy", "/etc/a.npy", "..\\a.npy", "C:a.npy", "b/a.npy", "a.txt", ".npy", "a\n.npy"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="leads elsewhere|no array"):
        open_npz(archive_of(tmp_path / "x.npz", {name: header("(8,)") + bytes(8)}))


@pytest.mark.parametrize("text", [b"{" * 3000, b"'\0", b"{'shape': (3,, }", b"[", b"'x' * 5000", b"{'a': 1}" * 3000])
def test_headers_that_are_no_literal_are_refused_in_a_short_sentence(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + bytes(100))
    with pytest.raises(UserError, match="is no array of NumPy") as caught:
        read_npy(path)
    assert len(str(caught.value)) < 400


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a.npy", header("(8,)") + bytes(8))
        archive.writestr("a.npy", header("(8,)") + bytes(8))
    with pytest.raises(UserError, match="two arrays 'a'"):
        open_npz(path)


def change(path: Path, signature: bytes, offset: int, data: bytes) -> None:
    whole = bytearray(path.read_bytes())
    at = whole.rfind(signature) + offset
    whole[at : at + len(data)] = data
    path.write_bytes(bytes(whole))


def test_an_archive_that_claims_more_than_its_length_is_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "x.npz", {"a.npy": header("(8,)") + bytes(8)})
    change(path, b"PK\x01\x02", 20, struct.pack("<II", 1 << 30, 1 << 30))  # packed and unpacked size in the list
    with pytest.raises(UserError, match="claims|Overlapped|overlap"):
        open_npz(path)
    packed = archive_of(tmp_path / "y.npz", {"a.npy": header("(8,)") + bytes(8)}, zipfile.ZIP_DEFLATED)
    change(packed, b"PK\x01\x02", 24, struct.pack("<I", (1 << 32) - 2))
    with pytest.raises(UserError, match="packed ones cannot hold"):
        open_npz(packed)
    many = archive_of(tmp_path / "z.npz", {"a.npy": header("(8,)") + bytes(8)})
    change(many, b"PK\x05\x06", 10, struct.pack("<H", 65_000))
    with pytest.raises(UserError, match="claims 65000 entries"):
        open_npz(many)


def test_other_ways_of_packing_and_passwords_are_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "x.npz", {"a.npy": header("(8,)") + bytes(8)}, zipfile.ZIP_BZIP2)
    with pytest.raises(UserError, match="other than deflate"):
        open_npz(path)
    path = archive_of(tmp_path / "y.npz", {"a.npy": header("(8,)") + bytes(8)})
    change(path, b"PK\x01\x02", 8, struct.pack("<H", 1))
    with pytest.raises(UserError, match="encrypted"):
        open_npz(path)


def test_a_whole_array_beyond_the_limit_is_not_read(release: Path) -> None:
    with open_npz(release) as archive:
        with pytest.raises(UserError, match="more than 1000 are not read at once"):
            archive.read("image", limit=1000)
        assert archive.read("label").tolist() == [n % 10 for n in range(100)]


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_no_flipped_bit_gives_wrong_numbers(place: int, bit: int) -> None:
    """Either the same numbers or a clear error: the checksum of the archive covers all of them."""
    import tempfile

    buffer = io.BytesIO()
    expected = {"image": np.arange(192, dtype=np.uint8).reshape(4, 4, 4, 3), "label": np.arange(4)}
    np.savez_compressed(buffer, **expected)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] ^= 1 << bit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        path.write_bytes(bytes(data))
        try:
            with open_npz(path) as archive:
                found = {name: archive.read(name) for name in archive.arrays}
        except UserError as error:
            assert str(path) in str(error)
        else:
            for array in found.values():
                assert any(array.shape == known.shape and (array == known).all() for known in expected.values())


@pytest.mark.parametrize("size", range(0, 3000, 97))
def test_a_cut_off_archive_is_refused(release: Path, size: int) -> None:
    data = release.read_bytes()
    release.write_bytes(data[: len(data) - 1 - size] if size else b"")
    with pytest.raises(UserError, match="release.npz"):
        open_npz(release)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for read in (open_npz, read_npy):
        with pytest.raises(UserError, match="there is no file"):
            read(tmp_path / "nothing")
        with pytest.raises(UserError, match="is not a file"):
            read(tmp_path)


@given(ARRAYS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_single_arrays_are_mapped(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array)
    found = read_npy(path)
    assert found.dtype == array.dtype and isinstance(found, np.memmap) == (array.nbytes > 0)
    np.testing.assert_array_equal(found, array)
    if array.nbytes:
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UserError, match="claims"):
            read_npy(path)
