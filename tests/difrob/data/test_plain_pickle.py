"""Pickles are read, never run: whatever is in them, nothing happens."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_files import python2_pickle

from difrob.data.formats.plain_pickle import read_plain_pickle
from difrob.errors import UserError

VALUES = {"labels": [1, 2, 300], "data": np.arange(6, dtype=np.uint8).reshape(2, 3), "filenames": ["a", "b"]}


def read(data: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "batch"
    path.write_bytes(data)
    return read_plain_pickle(path)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_what_python_wrote_comes_back(tmp_path: Path, protocol: int) -> None:
    found = read(pickle.dumps(VALUES, protocol) if protocol else python2_pickle(VALUES), tmp_path)
    assert found["labels"] == [1, 2, 300] and found["filenames"] == ["a", "b"]
    assert found["data"].dtype == np.uint8 and np.array_equal(found["data"], VALUES["data"])


def test_arrays_with_columns_first(tmp_path: Path) -> None:
    found = read(pickle.dumps({"data": np.asfortranarray(VALUES["data"])}, 2), tmp_path)
    assert np.array_equal(found["data"], VALUES["data"])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    data = pickle.dumps({"labels": Bomb()}, protocol)
    with pytest.raises(UserError, match="without running them"):
        read(data, tmp_path)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(data)
    assert (tmp_path / "exploded").exists()  # it would have


def tower(levels: int, inside: bytes) -> bytes:
    """Tuples within tuples: the content of each level twice."""
    return inside + b"".join(b"q\x00h\x00\x86" for _ in range(levels))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\x02K\x01.", "no dictionary"),
        (b"\x80\x02}U\x01a" + tower(80, b"K\x01") + b"s.", "tuple"),
        (b"\x80\x02}" + tower(80, b"K\x01") + b"K\x01s.", "keys that are no texts"),
        (b"\x80\x04" + tower(80, b"K\x01") + b"\x8c\x01a\x93.", "a name that is none"),
        (b"\x80\x02}U\x01a](h\x00e.", "damaged"),
        (b"\x80\x02}q\x00U\x01ah\x00s.", "dict"),
        (b"\x80\x02}U\x01a]q\x00h\x00as.", "list"),
        (b"\x80\x02}U\x01ac__builtin__\neval\nU\x011\x85Rs.", "the name '__builtin__.eval'"),
        (b"\x80\x02}U\x01acnumpy\nndarray\nK\x01\x85Rs.", "unusual arguments"),
        (b"\x80\x02}U\x01aU\x01bK\x01bs.", "an object with a state"),
        (b"\x80\x02}U\x01aG@\x00\x00\x00\x00\x00\x00\x00s.", "the instruction BINFLOAT"),
        (python2_pickle(VALUES).replace(b"U\x02u1", b"U\x02O8"), "another type than unsigned bytes"),
        (python2_pickle(VALUES).replace(b"J\x02\x00\x00\x00J\x03", b"J\xff\xff\xff\xffJ\x03"), "proper shape"),
        (python2_pickle(VALUES).replace(b"J\x02\x00\x00\x00J\x03", b"J\xff\xff\xff\x7fJ\x03"), "damaged"),
        (b"T\xff\xff\xff\x7fabc", "damaged"),
        (b"", "damaged"),
        (b"u.", "damaged"),
    ],
)
def test_strange_files_are_refused_at_once(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(data, tmp_path)


@settings(max_examples=200, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), cut=st.integers(0, 40))
def test_any_damage_is_an_error_that_is_told_or_plain_data(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(python2_pickle(VALUES))
    for place, value in places:
        data[place % len(data)] = value
    folder = tmp_path_factory.mktemp("pickle")
    try:
        found = read(bytes(data[: len(data) - cut]), folder)
    except UserError as error:
        assert "'batch'" in str(error)
    else:
        assert all(isinstance(key, str) for key in found)


def test_a_text_that_is_encoded_again_and_again_is_refused(tmp_path: Path) -> None:
    text = "x" * 1000
    encoded = b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R"  # the remembered name called with the remembered text
    begin = (
        b"\x80\x02c_codecs\nencode\nq\x00X"
        + len(text).to_bytes(4, "little")
        + text.encode()
        + b"q\x01}X\x01\x00\x00\x00a]("
    )
    with pytest.raises(UserError, match="one text again and again"):
        read(begin + encoded * 500 + b"es.", tmp_path)


def test_a_list_under_many_keys_is_refused(tmp_path: Path) -> None:
    shared = list(range(1000))
    assert read(pickle.dumps({"a": shared, "b": shared}, 2), tmp_path)["b"] == shared
    with pytest.raises(UserError, match="one list again and again"):
        read(pickle.dumps({str(key): shared for key in range(1000)}, 2), tmp_path)
