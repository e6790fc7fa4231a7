"""Weights in the format of ``torch.save`` before PyTorch 1.6, in which many files of well-known networks still are.

Such a file is five pickles behind each other (a magic number, a version, facts about the machine, the object, and the names
of its storages), then each storage: how many numbers it has as 8 bytes, and their bytes. PyTorch's reader takes the memory
that the object claims before it looks whether the file holds it. Here the pickles are looked through for names, unpickled
with stand-ins for everything of PyTorch's, and tensors are made from bytes that are there.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from difrob.errors import UserError
from difrob.foreign.harmless import MAX_PICKLE, STORAGES, check_pickle

if TYPE_CHECKING:
    import torch

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
PICKLES = 5
COUNT_BYTES = 8

# A pickle numbers what it wants to use again; C code takes memory up to the largest number.
MAX_NUMBERED = 1 << 22


def is_old_state(path: Path) -> bool:
    """Whether a file begins as one of ``torch.save`` before PyTorch 1.6."""
    magic = pickle.dumps(MAGIC, protocol=2)
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def read_old_state(path: Path) -> Any:
    """What ``torch.save`` wrote before PyTorch 1.6, on the CPU: tensors, dictionaries, lists and plain values.

    Raises:
        UserError: for what would run code when read, or claims more than the file holds.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data, path)
    except UserError:
        raise
    except Exception as error:  # unpickling raises what its parts raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' is damaged: {reason}") from None


def _read(data: mmap.mmap, path: Path) -> Any:
    magic, version, machine, content, names = _pickles(data, path)
    start = data.tell()
    facts = [_Reader(part, path, _no_tensor).load() for part in (magic, version, machine)]
    if facts[:2] != [MAGIC, VERSION]:
        raise UserError(f"'{path}' is of a version of torch.save that is not known")
    if not isinstance(facts[2], dict) or facts[2].get("little_endian") is not True:
        raise UserError(f"'{path}' comes from a machine with another order of bytes; save it anew on a usual one")
    claimed = _Reader(content, path, _no_tensor)
    claimed.load()
    storages = _storages(data, start, _Reader(names, path, _no_tensor).load(), claimed.storages, path)
    return _Reader(content, path, lambda *parts: _tensor(storages, path, *parts)).load()


def _pickles(data: mmap.mmap, path: Path) -> list[bytes]:
    """The pickles, all of whose names are harmless; the place in the data is behind them afterwards."""
    found = []
    for _ in range(PICKLES):
        start = data.tell()
        for opcode, argument, place in pickletools.genops(cast(IO[bytes], data)):  # a map reads like a file
            if (place or 0) > MAX_PICKLE:
                raise UserError(f"'{path}' has more than {MAX_PICKLE} bytes beside its tensors, which are not read")
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > MAX_NUMBERED:
                raise UserError(f"'{path}' claims more than {MAX_NUMBERED} values beside its tensors")
        found.append(data[start : data.tell()])
        check_pickle(found[-1], path)
    return found


@dataclass(frozen=True)
class _Storage:
    """A storage as the object claims it: the name of its type, and how many numbers it has."""

    kind: str
    count: int


class _Reader(pickle.Unpickler):
    """Unpickles with stand-ins. ``make`` gets what a tensor is rebuilt from: storage, offset, shape and strides."""

    def __init__(self, data: bytes, path: Path, make: Callable[..., Any]) -> None:
        super().__init__(io.BytesIO(data))
        self.storages: dict[str, _Storage] = {}
        self._path = path
        # Made anew for each file: a pickle can set attributes of what it gets.
        self._stand_ins: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: make(*parts[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda *parts: parts[0],
            ("torch", "Size"): lambda *parts: tuple(*parts),
        }
        self._stand_ins |= {("torch", f"{name}Storage"): name for name in STORAGES}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._stand_ins:
            raise UserError(f"'{self._path}' wants '{module}.{name}', which files of this format are not read with")
        return self._stand_ins[module, name]

    def persistent_load(self, pid: Any) -> str:
        what, kind, name, _, count, view = pid
        if what != "storage" or view is not None or kind not in STORAGES or not isinstance(count, int) or count < 0:
            raise UserError(f"'{self._path}' holds storages of another kind than plain numbers, which are not read")
        name = str(name)
        if self.storages.setdefault(name, _Storage(kind, count)) != _Storage(kind, count):
            raise UserError(f"'{self._path}' claims two sizes for one storage")
        return name


def _no_tensor(*_: Any) -> None:
    return None


def _storages(
    data: mmap.mmap, start: int, names: Any, claimed: dict[str, _Storage], path: Path
) -> dict[str, torch.Tensor]:
    """All numbers of each storage, 1-D, in the order in which the file names them."""
    import torch

    if not isinstance(names, list) or sorted(map(str, names)) != sorted(claimed):
        raise UserError(f"'{path}' is damaged: it names other storages than its tensors have")
    found = {}
    for name in map(str, names):
        claim = claimed[name]
        dtype: torch.dtype = getattr(torch, _DTYPES[claim.kind])
        end = start + COUNT_BYTES + claim.count * dtype.itemsize
        if end > len(data):
            raise UserError(f"'{path}' is cut off: it claims {end} bytes or more, and has {len(data)}")
        if struct.unpack("<q", data[start : start + COUNT_BYTES]) != (claim.count,):
            raise UserError(f"'{path}' is damaged: a storage has another size than its tensors say")
        values = bytearray(data[start + COUNT_BYTES : end])
        found[name] = torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)
        start = end
    return found


def _tensor(storages: dict[str, torch.Tensor], path: Path, name: str, offset: int, shape: Any, strides: Any) -> Any:
    values = storages[name]
    shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    negative = min((offset, *shape, *strides)) < 0
    if negative or math.prod(shape) > len(values) or (0 not in shape and last >= len(values)):
        raise UserError(f"'{path}' claims a tensor {shape}, which it does not hold")
    return values.as_strided(shape, strides, offset)


_DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}
