"""Files of other programs made hostile: arrays, archives of arrays and weights that lie, leave their place, or run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from faults.hostile_files import flip_bytes, move_bytes, odd_json
from safetensors.numpy import save

from difrob.foreign import open_npz, read_npy, read_safetensors, read_torch_state

BOMB_BYTES = 1 << 29
ROWS = 1000
MOST_BYTES = 64 << 20  # that are read at once here
NAMES = (
    "../out.npy", "/tmp/out.npy", "a/b.npy", "..\\out.npy", "C:out.npy", "a\n.npy", "x.npy", ".npy", "", "\u202e.npy",
    "x" * 5000 + ".npy", "images.npy",
)  # fmt: skip
SHAPES = (
    "(1 << 62,)", "(4611686018427387904,)", "(-1,)", "(1000000, 1000000, 1000000)", "((((", "()", "(3,", "(3, 2.5)", "(True,)",
    "(" + "1," * 40 + ")", "(0, 1000000000000)", "[3]", "(9" + "9" * 500 + ",)",
)  # fmt: skip
KINDS = (
    "'|O'", "'<f8'", "'|V9'", "'<U1000000000'", "[('a', '<f8')]", "'<f8', __import__('os')", "'x'", "'|S0'", "None",
    "'>c16'", "'<M8[s]'", "(" * 200,
)  # fmt: skip


class Trap:
    """Says, by making a folder, that it was unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


class Foreign:
    """Makes hostile files from sound ones in ``folder``, and reads them. ``mark`` appears if anything in them is run."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "code-ran"
        self._path = folder / "foreign"
        arrays = {"images": np.arange(600, dtype=np.uint8).reshape(50, 2, 2, 3), "labels": np.arange(50)}
        self._npy = npy_bytes(arrays["images"])
        self._npz = [zip_bytes({f"{name}.npy": npy_bytes(a) for name, a in arrays.items()}, m) for m in (0, 8)]
        self._safetensors = save({"weight": np.ones((4, 3), np.float32), "bias": np.zeros(4, np.float16)})

    @cached_property
    def _torch(self) -> bytes:
        return torch_bytes(in_an_archive=True)

    @cached_property
    def _old_torch(self) -> bytes:
        return torch_bytes(in_an_archive=False)

    def sorts(self) -> dict[str, Callable[[random.Random], None]]:
        """Readers of one hostile input each, by sort."""
        return {"npy": self.npy, "npz": self.npz, "safetensors": self.safetensors, "torch": self.torch}

    def npy(self, chance: random.Random) -> None:
        """A single array."""
        data = chance.choice([lambda: spoil(self._npy, chance), lambda: lying_npy(chance), lambda: self._pickled()])()
        self._write(data)
        try:
            np.asarray(read_npy(self._path)).sum(dtype=object) if chance.random() < 0.1 else read_npy(self._path)[:1]
        except IndexError:  # a single number has no rows
            return
        finally:
            self._check()

    def npz(self, chance: random.Random) -> None:
        """An archive of arrays: block by block, and whole."""
        self._write(self._archive(chance))
        try:
            with warnings.catch_warnings(), open_npz(self._path) as archive:
                warnings.simplefilter("ignore")
                for name, (shape, dtype) in archive.arrays.items():
                    assert archive.read(name, MOST_BYTES).shape == shape
                    if shape:
                        rows = [len(block) for block in archive.blocks(name, ROWS) if block.dtype == dtype]
                        assert sum(rows) == shape[0], f"{sum(rows)} of {shape} rows"
        finally:
            self._check()

    def safetensors(self, chance: random.Random) -> None:
        """Weights in the format without code."""
        self._write(spoil(self._safetensors, chance) if chance.random() < 0.5 else lying_safetensors(chance))
        try:
            read_safetensors(self._path)
        finally:
            self._check()

    def torch(self, chance: random.Random) -> None:
        """Weights of torch.save."""
        makers = [
            lambda: spoil(self._torch, chance),
            lambda: self._pickle_archive(chance),
            lambda: spoil(self._old_torch, chance),
            lambda: self._old_pickles(chance),
        ]
        self._write(chance.choices(makers, (3, 4, 2, 2))[0]())
        try:
            read_torch_state(self._path)
        finally:
            self._check()

    def _write(self, data: bytes) -> None:
        self._path.unlink(missing_ok=True)  # the last one may still be mapped
        self._path.write_bytes(data)

    def _check(self) -> None:
        assert not self.mark.exists(), "code in the file was run"

    def _pickled(self) -> bytes:
        return npy_bytes(np.array([Trap(self.mark)], dtype=object))

    def _archive(self, chance: random.Random) -> bytes:
        sound = chance.choice(self._npz)
        makers: list[Callable[[], bytes]] = [
            lambda: spoil(sound, chance),
            lambda: spoil_directory(sound, chance),
            lambda: zip_bytes({chance.choice(NAMES): self._npy, "labels.npy": self._npy}, 0),
            lambda: zip_bytes({"x.npy": lying_npy(chance)}, chance.choice([0, 8])),
            lambda: zip_bytes({"x.npy": self._pickled()}, chance.choice([0, 8])),
            lambda: zip_bytes({"x.npy": self._npy}, chance.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])),
            lambda: zip_bytes({f"{number}.npy": self._npy for number in range(chance.choice([3, 300]))}, 8),
            lambda: zip_bytes({"x.npy": sound}, 0),
            lambda: b"",
        ]
        if chance.random() < 0.01:
            return bomb()
        return chance.choice(makers)()

    def _pickle_archive(self, chance: random.Random) -> bytes:
        """A file of torch.save with another pickle in it."""
        trap = pickle.dumps({"model": Trap(self.mark)}, chance.choice([0, 2, 4]))
        with zipfile.ZipFile(io.BytesIO(self._torch)) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
        name = next(name for name in entries if name.endswith("data.pkl"))
        entries[name] = chance.choice([
            lambda: trap,
            lambda: flip_bytes(entries[name], chance),
            lambda: move_bytes(entries[name], chance),
            lambda: swapped(entries[name], chance),
            lambda: b"\x80\x02" + b"(" * chance.choice([10, 100_000]) + b".",
            lambda: b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
            lambda: pickle.dumps(odd_json(chance), 2),
            lambda: b"\x80\x02X\xff\xff\xff\x7f.",
        ])()  # fmt: skip
        if chance.random() < 0.2:
            entries.pop(chance.choice(list(entries)))
        return zip_bytes(entries, chance.choice([0, 0, 0, 8]))

    def _old_pickles(self, chance: random.Random) -> bytes:
        """A file of torch.save before PyTorch 1.6 with another pickle in the place of one of its five, or swapped bytes."""
        stream = io.BytesIO(self._old_torch)
        parts = []
        for _ in range(5):
            start = stream.tell()
            for _opcode in pickletools.genops(stream):
                pass
            parts.append(self._old_torch[start : stream.tell()])
        storages = self._old_torch[stream.tell() :]
        place = chance.randrange(5)
        parts[place] = chance.choice([
            lambda: pickle.dumps(Trap(self.mark), 2),
            lambda: pickle.dumps(odd_json(chance), 2),
            lambda: flip_bytes(parts[place], chance),
            lambda: move_bytes(parts[place], chance),
            lambda: swapped(parts[place], chance),
            lambda: b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
            lambda: b"\x80\x02}r\xff\xff\xff\xff.",
            lambda: b"\x80\x02X\xff\xff\xff\x7f.",
        ])()  # fmt: skip
        return b"".join(parts) + (spoil(storages, chance) if chance.random() < 0.2 else storages)


def torch_bytes(*, in_an_archive: bool) -> bytes:
    """A small state as torch.save writes it, in the present format or in that before PyTorch 1.6."""
    import torch  # here, since the other sorts are read without it

    state = {"model": {"weight": torch.ones(4, 3), "bias": torch.zeros(4)}, "step": 5, "names": ["a"]}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=in_an_archive)
    return buffer.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as numpy writes it, objects pickled."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def zip_bytes(entries: dict[str, bytes], method: int) -> bytes:
    """A zip archive; method 0 stores, 8 deflates."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Flipped, cut or copied bytes."""
    return flip_bytes(data, chance) if chance.random() < 0.6 else move_bytes(data, chance)


def spoil_directory(data: bytes, chance: random.Random) -> bytes:
    """An archive whose list of entries lies about sizes, places and methods, here and there or everywhere alike."""
    found = bytearray(data)
    at = found.index(b"PK\1\2")
    for _ in range(chance.choice([1, 1, 3])):
        start = chance.choice([at, found.rindex(b"PK\5\6")])
        place = start + chance.choice([8, 10, 16, 20, 24, 28, 30, 32, 42])
        value = chance.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(1 << 32)])
        found[place : place + 4] = struct.pack("<I", value)
    return bytes(found)


def lying_npy(chance: random.Random) -> bytes:
    """An array whose header says what does not fit, or is no header."""
    shape, kind = chance.choice(SHAPES), chance.choice(KINDS)
    order = chance.choice(["False", "True", "1", "[]"])
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if chance.random() < 0.2:
        text = chance.choice(["", "{}", "[", "{" * 3000, "'a' * 10 ** 10", "1e999", "\x00", text * 500])
    header = text.encode() + b" " * chance.choice([0, 10, 70_000]) + b"\n"
    version = chance.choice([1, 1, 2, 3, 9])
    claimed = chance.choice([len(header), len(header), 0, 0xFFFF])
    length = (
        struct.pack("<H", min(claimed, 0xFFFF))
        if version == 1
        else struct.pack("<I", claimed << chance.choice([0, 15]))
    )
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(chance.choice([0, 24, 5000]))


def lying_safetensors(chance: random.Random) -> bytes:
    """A header of JSON that claims what is not there."""
    header: Any = {"weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}}
    key = chance.choice(["dtype", "shape", "data_offsets"])
    header["weight"][key] = chance.choice([
        odd_json(chance), [1 << 62], [0, 1 << 62], [48, 0], [1 << 32, 1 << 32, 3], "F4096", [-1, 4], [0, 0], [], "BOOL",
    ])  # fmt: skip
    if chance.random() < 0.2:
        header = chance.choice([odd_json(chance), {"a": header}, {"__metadata__": odd_json(chance), **header}])
    text = json.dumps(header).encode()
    if chance.random() < 0.1:
        text = b"[" * 100_000
    length = chance.choice([len(text), len(text), len(text), 0, len(text) + 1, 1 << 40, (1 << 64) - 1])
    return struct.pack("<Q", length) + text + bytes(48)


def swapped(data: bytes, chance: random.Random) -> bytes:
    """A pickle that names something else than it did, or gives other numbers to what it names."""
    change = chance.choice([
        (b"torch._utils\n_rebuild_tensor_v2", b"os\nsystem"),
        (b"torch._utils\n_rebuild_tensor_v2", b"builtins\neval"),
        (b"torch._utils\n_rebuild_tensor_v2", b"torch\nSize"),
        (b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"),
        (b"torch\nFloatStorage", b"torch\nDoubleStorage"),
        (b"torch\nFloatStorage", b"torch.storage\n_load_from_bytes"),
        (b"K\x04K\x03", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f"),
        (b"K\x03K\x01", b"K\x00K\x00"),
        (b"K\x0c", b"J\xff\xff\xff\x7f"),
    ])  # fmt: skip
    return data.replace(*change)


def bomb() -> bytes:
    """Half a gigabyte of zeros in half a megabyte, really there."""
    header = npy_bytes(np.zeros(0, np.uint8)).replace(b"(0,), }" + b" " * 9, f"({BOMB_BYTES},), }}".encode())
    buffer = io.BytesIO()
    deflated = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with deflated as archive, archive.open("x.npy", "w") as entry:
        entry.write(header)
        for _ in range(BOMB_BYTES >> 20):
            entry.write(bytes(1 << 20))
    return buffer.getvalue()
