"""Weights in the format before PyTorch 1.6: read without running code, and without believing what they claim."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from difrob.errors import UserError
from difrob.foreign import harmless, read_torch_state
from difrob.foreign.old_weights import MAGIC, VERSION

KINDS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "count": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "double": torch.tensor([1 / 3], dtype=torch.float64),
    "mask": torch.tensor([True, False]),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    "empty": torch.zeros(0, 3),
}
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def save(value: Any, path: Path) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=False)
    return path


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    saved = {
        "state_dict": OrderedDict(KINDS),
        "epoch": 3,
        "losses": [0.5, None],
        "p": parameter,
        "size": torch.Size([2]),
    }
    found = read_torch_state(save(saved, tmp_path / "x.pth"))
    assert found["epoch"] == 3 and found["losses"] == [0.5, None] and found["size"] == (2,)
    assert torch.equal(found["p"], parameter) and list(found["state_dict"]) == list(KINDS)
    for name, tensor in KINDS.items():
        assert found["state_dict"][name].dtype == tensor.dtype and torch.equal(found["state_dict"][name], tensor)


def test_a_module_s_state_and_parts_of_storages_come_back(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    found = read_torch_state(save(network.state_dict(), tmp_path / "x.pth"))
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())
    numbers = torch.arange(12.0).reshape(3, 4)
    views = {"all": numbers, "turned": numbers.T, "part": numbers[1:, ::2]}
    found = read_torch_state(save(views, tmp_path / "x.pth"))
    assert all(torch.equal(found[name], view) for name, view in views.items())
    assert found["all"].untyped_storage().data_ptr() == found["part"].untyped_storage().data_ptr()


class Trap:
    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.place,)


def test_what_would_run_code_is_refused_by_name(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(UserError, match=r"wants '(posix|nt).mkdir'"):
        read_torch_state(save({"a": Trap(ran)}, tmp_path / "x.pth"))
    for number in range(5):  # in any of the five pickles
        parts = [MAGIC, VERSION, MACHINE, {}, []]
        parts[number] = Trap(ran)
        path = write(tmp_path / "x.pth", *[pickle.dumps(part, 2) for part in parts])
        with pytest.raises(UserError):
            read_torch_state(path)
    assert not ran.exists()


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def content_of(count: int, shape: tuple[int, ...] = (2,), strides: tuple[int, ...] = (1,), offset: int = 0) -> bytes:
    """A pickled ``{"a": tensor}`` whose storage ``s`` claims ``count`` numbers."""

    class Storage:
        pass

    class Claim:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "s", "cpu", count, None) if isinstance(obj, Storage) else None

    import io

    sink = io.BytesIO()
    Pickler(sink, 2).dump({"a": Claim()})
    return sink.getvalue()


def file_of(path: Path, content: bytes, names: Any = ("s",), count: int = 2, machine: Any = None) -> Path:
    head = [pickle.dumps(part, 2) for part in (MAGIC, VERSION, MACHINE if machine is None else machine)]
    return write(
        path, *head, content, pickle.dumps(list(names), 2), struct.pack("<q", count), struct.pack("<2f", 1.5, -2)
    )


def test_claims_are_checked_before_they_cost_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    assert read_torch_state(file_of(path, content_of(2)))["a"].tolist() == [1.5, -2]
    for content, message in (
        (content_of(1 << 50), "is cut off: it claims"),
        (content_of(-1), "storages of another kind"),
        (content_of(1), "a storage has another size than its tensors say"),
        (content_of(2, (3,)), r"claims a tensor \(3,\), which it does not hold"),
        (content_of(2, (2,), (1,), 1), "claims a tensor"),
        (content_of(2, (2,), (-1,)), "claims a tensor"),
        (content_of(2, (1 << 60, 1 << 60), (0, 0)), "claims a tensor"),
        (content_of(2, (2, 2), (1,)), "x.pth"),
    ):
        with pytest.raises(UserError, match=message):
            read_torch_state(file_of(path, content))
    with pytest.raises(UserError, match="names other storages than its tensors have"):
        read_torch_state(file_of(path, content_of(2), names=("t",)))
    with pytest.raises(UserError, match="another size"):
        read_torch_state(file_of(path, content_of(2), count=3))
    with pytest.raises(UserError, match="another order of bytes"):
        read_torch_state(file_of(path, content_of(2), machine={"little_endian": False}))
    numbered = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.LONG_BINPUT + struct.pack("<I", 0xFFFFFFFF) + b"."
    with pytest.raises(UserError, match="claims more than"):
        read_torch_state(file_of(path, numbered))


@pytest.mark.parametrize("place", range(0, 1500, 47))
def test_a_file_that_is_cut_off_is_one_sentence(tmp_path: Path, place: int) -> None:
    data = save(KINDS, tmp_path / "x.pth").read_bytes()
    path = write(tmp_path / "x.pth", data[: place % len(data)])
    with pytest.raises(UserError, match=r"x.pth"):
        read_torch_state(path)


def test_calls_do_not_copy_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of many values, and a thousand calls that would each copy it."""
    monkeypatch.setattr(harmless, "MAX_COPIED", 100_000)
    values = b"\x80\x02}X\x01\x00\x00\x00a](("
    for call, item in ((b"ctorch\nSize\n", b"N"), (b"ccollections\nOrderedDict\n", b"K\x01K\x02\x86")):
        shared = values + 1000 * item + b"lq\x00"
        few, many = (shared + times * (call + b"h\x00\x85R") + b"es." for times in (10, 1000))
        assert len(read_torch_state(file_of(tmp_path / "x.pth", few, names=()))["a"]) == 11
        with pytest.raises(UserError, match="claims more than 100000 values"):
            read_torch_state(file_of(tmp_path / "x.pth", many, names=()))
