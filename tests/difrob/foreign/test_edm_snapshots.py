"""Snapshots of EDM are read without being unpickled, and whatever else a pickle may hold is refused by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.edm_pickles import Persistent, bare_state, modules_of_edm, snapshot
from torch import nn

from difrob.errors import UserError
from difrob.foreign.edm_snapshots import EDMSnapshot, read_edm_snapshot
from difrob.foreign.inert_pickle import Made, read_inert
from difrob.foreign.pickle_machine import Name, RefusedError
from difrob.nets.song_unet import SongUNet, SongUNetOptions


@pytest.fixture(scope="module")
def network() -> SongUNet:
    torch.manual_seed(0)
    options = SongUNetOptions(8, 1, 8, (8, 16), 1, (4,), 16, 8, classes=3, augmentations=9)
    return SongUNet(options)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_snapshot_reads_back_without_its_code(tmp_path: Path, network: SongUNet, protocol: int) -> None:
    if protocol == 2:  # there, bytes are texts with a function around them
        network = SongUNet(SongUNetOptions(8, 1, 8, (8,), 1, (), 16, 8))
    path = tmp_path / "network-snapshot.pkl"
    data = snapshot(network, protocol=protocol, label_dropout=0.25)
    path.write_bytes(data)
    if protocol == 2:
        with pytest.raises(UserError, match="'_codecs.encode'"):
            read_edm_snapshot(path)
        return
    found = read_edm_snapshot(path)
    assert (found.preconditioning, found.network) == ("EDMPrecond", "SongUNet")
    wanted = bare_state(network)
    assert list(found.tensors) == list(wanted)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in wanted.items())
    assert found.number("sigma_data", 0) == 0.5 and found.number("model.label_dropout", 0) == 0.25
    assert found.number("nothing", 7) == 7 and found.number("use_fp16", 3) == 3
    assert found.facts["model.skip_scale"] == np.sqrt(0.5) and found.facts["sigma_max"] == float("inf")


class Wicked:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_a_malicious_snapshot_is_refused_and_does_nothing(tmp_path: Path, network: SongUNet) -> None:
    path, mark = tmp_path / "wicked.pkl", tmp_path / "mark"
    path.write_bytes(snapshot(network, extra={"more": Wicked(mark)}))
    with pytest.raises(UserError, match=rf"it holds '{os.system.__module__}.system', which could run code"):
        read_edm_snapshot(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Wicked(mark)))
    assert mark.exists(), "it would have done it"


def test_names_outside_the_list_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    for value, message in (
        (print, "'builtins.print'"), (nn.Linear(2, 2), "'torch.nn.modules.linear.Linear'"), (Path("x"), "'pathlib"),
        (complex(1, 2), "'builtins.complex'"), ({(1, 2): 3}, "a tuple for a key"), ([1], "no 'ema'"),
        ({"net": 1}, "no 'ema'"), ({"ema": 1}, "something else than a network"), (bytearray(b"x"), "BYTEARRAY8"),
    ):  # fmt: skip
        path.write_bytes(pickle.dumps(value, protocol=5))
        with pytest.raises(UserError, match=f"no snapshot of EDM that can be read: it holds .*{message}"):
            read_edm_snapshot(path)


def test_every_cut_of_a_snapshot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    data = snapshot(SongUNet(SongUNetOptions(4, 1, 4, (4,), 1, (), 4, 4, filter_size=2)))
    for length in [1, 2, *range(3, len(data), len(data) // 60), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="damaged|can be read"):
            read_edm_snapshot(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="has 0 bytes"):
        read_edm_snapshot(path)
    with pytest.raises(UserError, match="there is no file"):
        read_edm_snapshot(tmp_path / "gone.pkl")
    with pytest.raises(UserError, match="is not a file"):
        read_edm_snapshot(tmp_path)


def with_tensor(reduced: tuple[Any, ...]) -> bytes:
    """A snapshot whose only tensor is rebuilt from these parts."""

    class Claimed:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, reduced  # type: ignore[attr-defined]

    class Module(Persistent):
        def __reduce__(self) -> Any:
            meta = super().__reduce__()[1][0]
            meta["state"]["_buffers"] = {"x": Claimed()} if self.class_name == "SongUNet" else {}
            return type(self).rebuild, (meta,)

    with modules_of_edm() as edm:
        Persistent.rebuild = staticmethod(edm.rebuild)
        outer = Module("EDMPrecond")
        outer.model = Module("SongUNet")
        return pickle.dumps({"ema": outer})


def test_tensors_claim_no_more_than_there_is(tmp_path: Path) -> None:
    path, storage = tmp_path / "x.pkl", torch.arange(6, dtype=torch.float32).untyped_storage()
    numbers = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    path.write_bytes(with_tensor((numbers, 1, (2, 2), (2, 1), False, {})))
    assert read_edm_snapshot(path).tensors["model.x"].tolist() == [[1, 2], [3, 4]]
    for offset, shape, strides in (
        (0, (7,), (1,)), (5, (2,), (1,)), (0, (10**9,), (0,)), (0, (2, 6), (0, 1)), (-1, (2,), (1,)), (0, (-2,), (1,)),
        (3, (2,), (-1,)), (0, (2,), ()),
    ):  # fmt: skip
        path.write_bytes(with_tensor((numbers, offset, shape, strides, False, {})))
        with pytest.raises(UserError, match="damaged, or no snapshot"):
            read_edm_snapshot(path)


def test_a_storage_has_the_numbers_that_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    numbers = torch.storage.TypedStorage(
        wrap_storage=torch.ones(6).untyped_storage(), dtype=torch.float32, _internal=True
    )
    data = with_tensor((numbers, 0, (6,), (1,), False, {}))
    count = struct.pack("<q", 6) + struct.pack("<f", 1.0)
    assert data.count(count) == 1
    path.write_bytes(data.replace(count, struct.pack("<q", 60) + struct.pack("<f", 1.0)))
    with pytest.raises(UserError, match="a storage claims 6 numbers"):
        read_edm_snapshot(path)


def test_what_is_shared_without_end_is_refused_soon(tmp_path: Path, network: SongUNet) -> None:
    """Modules within modules, each twice: a small file that would stand for a million of them."""
    with modules_of_edm() as edm:
        Persistent.rebuild = staticmethod(edm.rebuild)
        inner: nn.Module = Persistent("Leaf")
        for _ in range(18):
            outer = Persistent("Twice")
            outer._modules.update(a=inner, b=inner)
            inner = outer
        whole = Persistent("EDMPrecond")
        whole.model = inner
        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"ema": whole}))
    with pytest.raises(UserError, match="more than 20000 modules"):
        read_edm_snapshot(tmp_path / "x.pkl")


def test_a_storage_that_is_named_again_and_again_is_not_read_each_time(tmp_path: Path) -> None:
    """A small file that would fill any memory: the bytes of one storage, and a thousand calls that read them."""
    path = tmp_path / "x.pkl"
    numbers = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(1000).untyped_storage(), dtype=torch.float32, _internal=True
    )
    (data,) = numbers.__reduce__()[1]
    read = b"ctorch.storage\n_load_from_bytes\nh\x00\x85R"
    for times, message in ((1, "no 'ema'"), (1000, "storages that are larger than the file")):
        content = b"\x80\x03](B" + struct.pack("<I", len(data)) + data + b"q\x00" + times * read + b"e."
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_edm_snapshot(path)


def test_shared_dictionaries_do_not_multiply(tmp_path: Path) -> None:
    """One dictionary of parameters in each of many modules would stand for more names than any memory holds."""
    shared: dict[str, Any] = {f"p{number}": None for number in range(3000)}
    for parameters, message in ((shared, "more than 200000 tensors"), ({"x" * 2000: None}, "a name of more than 1000")):
        with modules_of_edm() as edm:
            Persistent.rebuild = staticmethod(edm.rebuild)
            whole, inner = Persistent("EDMPrecond"), Persistent("SongUNet")
            for number in range(100):
                leaf = Persistent("Leaf")
                leaf._parameters = parameters
                inner._modules[str(number)] = leaf
            whole.model = inner
            (tmp_path / "x.pkl").write_bytes(pickle.dumps({"ema": whole}))
        with pytest.raises(UserError, match=message):
            read_edm_snapshot(tmp_path / "x.pkl")


def test_a_number_beyond_all_floats_is_infinite() -> None:
    snapshot_of = EDMSnapshot("EDMPrecond", "SongUNet", {"sigma_data": 10**400, "low": -(10**400), "yes": True})
    assert [snapshot_of.number(name, 0.5) for name in ("sigma_data", "low", "yes")] == [np.inf, -np.inf, 0.5]


def test_plain_data_come_as_they_are() -> None:
    shared = [1, "two"]
    value = {
        "a": (1, -2, 2**80, 1.5, None, True, False, "x" * 300, b"y" * 300),
        "b": [shared, shared],
        "c": {3},
        "d": (),
    }
    for protocol in range(2, 6):
        kept = dict(value) if protocol >= 4 else {name: part for name, part in value.items() if name != "c"}
        if protocol == 2:
            kept["a"] = kept["a"][:-1]  # type: ignore[index]
        found = read_inert(io.BytesIO(pickle.dumps(kept, protocol=protocol)), {})
        assert found == {name: list(part) if isinstance(part, set) else part for name, part in kept.items()}
        assert found["b"][0] is found["b"][1]


def test_labels_stand_for_themselves_and_are_never_called() -> None:
    data = pickle.dumps({"kind": print})
    assert read_inert(io.BytesIO(data), {Name("builtins", "print"): None}) == {"kind": Name("builtins", "print")}
    with pytest.raises(RefusedError, match=r"a call of 'posix.system'|a call of 'nt.system'"):
        read_inert(io.BytesIO(pickle.dumps(Wicked(Path("x")))), {Name(os.system.__module__, "system"): None})
    made = read_inert(
        io.BytesIO(b"cbuiltins\nprint\n(tR}b."), {Name("builtins", "print"): lambda: Made(Name("a", "b"))}
    )
    assert isinstance(made, Made) and made.state == {} and made.kind == ("a", "b")


@pytest.mark.parametrize("key", [2**64, (2**61 - 1) * 2**40])
def test_keys_that_could_share_one_place_are_refused(key: int) -> None:
    with pytest.raises(RefusedError, match="a number of more than 64 bits for a key"):
        read_inert(pickle.dumps({key: 1}), {})


def test_numbers_of_remembered_parts_have_a_limit() -> None:
    with pytest.raises(RefusedError, match="a part number 99999999999"):
        read_inert(b"Np99999999999\n.", {})
