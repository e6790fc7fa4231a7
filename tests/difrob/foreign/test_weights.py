"""Weights from anywhere: what is harmless is read, what would run code or take memory is refused."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from difrob.errors import UserError
from difrob.foreign import read_safetensors, read_torch_state

STATE = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "count": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.bfloat16),
}


def test_safetensors_come_back(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(STATE, tmp_path / "x.safetensors")
    found = read_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize(
    "head",
    [
        {"a": {"dtype": "F32", "shape": [250_000_000_000], "data_offsets": [0, 1_000_000_000_000]}},
        {"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "pickle", "shape": [1], "data_offsets": [0, 4]}},
        [],
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path: Path, head: Any) -> None:
    text = json.dumps(head).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(UserError, match=r"x.safetensors' is no safetensors file"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, struct.pack("<Q", 1 << 50) + b"{}", b"not at all a file of weights"]
)
def test_what_is_no_safetensors_file_is_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UserError, match="no safetensors file"):
        read_safetensors(tmp_path / "x")


def test_torch_states_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(
        {"state_dict": OrderedDict(STATE), "epoch": 3, "losses": [0.5, None], "p": torch.nn.Parameter(torch.ones(2))},
        path,
    )
    found = read_torch_state(path)
    assert found["epoch"] == 3 and found["losses"] == [0.5, None] and found["p"].tolist() == [1, 1]
    assert all(torch.equal(found["state_dict"][name], STATE[name]) for name in STATE)


def archive_of(path: Path, content: bytes) -> Path:
    """A file of ``torch.save`` without tensors, with this pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("data.pkl", content), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(f"x/{name}", data)
    return path


def test_keys_that_take_for_ever_are_refused(tmp_path: Path) -> None:
    """Tuples of one tuple twice, sixty deep, whose hash would take 2^60 steps; numbers and tuples without end."""
    for key, allowed in (
        (b"K\x07", True), (b"K\x07K\x08\x86", True), (b"N", True), (b")" + b"q\x00h\x00\x86" * 60, False),
        (b"\x8a\xc8" + b"\x01" * 200, False), (b"(" + b"N" * 1000 + b"t", False),
    ):  # fmt: skip
        path = archive_of(tmp_path / "x.pt", b"\x80\x02}" + key + b"K\x01s.")
        if allowed:
            assert list(read_torch_state(path).values()) == [1]
        else:
            with pytest.raises(UserError, match="it holds a dictionary with keys that are neither"):
                read_torch_state(path)


def test_calls_in_an_archive_do_not_copy_without_end(tmp_path: Path) -> None:
    calls = b"ctorch\nSize\nh\x00\x85R" * 1000
    content = b"\x80\x02}X\x01\x00\x00\x00a](" + b"](" + b"N" * 20_000 + b"eq\x00" + calls + b"es."
    with pytest.raises(UserError, match="claims more than 16777216 values"):
        read_torch_state(archive_of(tmp_path / "x.pt", content))


class Trap:
    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.place,)


class Hungry:
    def __reduce__(self) -> Any:
        return bytearray, (1 << 40,)


def test_what_would_run_code_or_take_memory_is_refused_by_name(tmp_path: Path) -> None:
    path, ran = tmp_path / "x.pt", tmp_path / "ran"
    torch.save({"a": Trap(ran)}, path)
    with pytest.raises(UserError, match=r"wants 'posix.mkdir'|wants 'nt.mkdir'"):
        read_torch_state(path)
    torch.save({"a": Hungry()}, path)
    with pytest.raises(UserError, match="bytearray"):
        read_torch_state(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UserError, match="wants 'torch.nn"):
        read_torch_state(path)
    assert not ran.exists()


def test_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match=r"no file of torch.save, .*; save its tensors with safetensors"):
        read_torch_state(path)
    torch.save([torch.ones(1)], path)
    with pytest.raises(UserError, match="holds a list, not a dictionary"):
        read_torch_state(path)
    torch.save({"a": torch.ones(1).expand(1 << 40)}, path)
    with pytest.raises(UserError, match="claims a tensor"):
        read_torch_state(path)
    with pytest.raises(UserError, match="there is no file"):
        read_torch_state(tmp_path / "nothing")


def test_packed_entries_are_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as source,
        zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    with pytest.raises(UserError, match="packed entry"):
        read_torch_state(tmp_path / "y.pt")


@pytest.mark.parametrize("place", range(0, 1600, 53))
def test_damage_is_one_sentence(tmp_path: Path, place: int) -> None:
    path = tmp_path / "x.pt"
    torch.save(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[: place % len(data)])
    with pytest.raises(UserError, match=r"x.pt"):
        read_torch_state(path)


def test_an_entry_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"weight": torch.ones(2)}, path)
    data = path.read_bytes()
    directory = data.index(b"PK\1\2")
    name = data.index(b"data.pkl", directory)
    flags = directory + 8
    spoilt = data[:flags] + struct.pack("<H", 0x800) + data[flags + 2 : name] + b"\xff" + data[name + 1 :]
    path.write_bytes(spoilt)
    with pytest.raises(UserError, match="is damaged: 'utf-8' codec can't decode"):
        read_torch_state(path)
