"""Snapshots of Karras et al. 2022 (``network-snapshot-*.pkl``, ``edm-cifar10-32x32-*.pkl``), read as data.

Such a pickle carries the source code of its network, which unpickling would run. Here the code stays a text that nobody
reads: of each object only the attributes are taken, and of tensors their numbers.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difrob.errors import UserError
from difrob.foreign.harmless import STORAGES
from difrob.foreign.inert_pickle import Made, Makers, read_inert
from difrob.foreign.old_weights import COUNT_BYTES, MAGIC, VERSION
from difrob.foreign.pickle_machine import Name, RefusedError

if TYPE_CHECKING:
    import torch

MAX_BYTES = 8 << 30
MAX_MODULES, MAX_DEPTH = 20_000, 20
MAX_ENTRIES, MAX_NAME = 200_000, 1_000
TYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip
_CONTAINERS = ("ModuleDict", "ModuleList", "Sequential")
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")


@dataclass(frozen=True)
class EDMSnapshot:
    """What a snapshot holds under ``ema``.

    Attributes:
        preconditioning: name of the class around the network, ``EDMPrecond`` for those of EDM.
        network: name of the network's class.
        facts: plain attributes of both, those of the network under ``model.``.
        tensors: the state dictionary, names as PyTorch gives them.
    """

    preconditioning: str
    network: str
    facts: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number, infinite where no float is so large; the default where it is none."""
        value = self.facts.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf


def read_edm_snapshot(path: Path) -> EDMSnapshot:
    """The averaged network of a snapshot. Nothing in the file is executed.

    Raises:
        UserError: for a file that is no snapshot, is damaged, or names anything that snapshots have no use for.
    """
    if not path.is_file():
        raise UserError(f"'{path}' is not a file" if path.exists() else f"there is no file '{path}'")
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise UserError(f"'{path}' has {size} bytes, which no snapshot of a network has")
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            content = read_inert(data, {**_MAKERS, _STORAGES: _Storages(size)})
        return _snapshot(content, size)
    except RefusedError as refused:
        raise UserError(
            f"'{path}' is no snapshot of EDM that can be read: it holds {refused}; load it with its own code and save the "
            "state dictionary of its 'ema' with safetensors"
        ) from None
    except (
        ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, RuntimeError,
        MemoryError, OSError, struct.error,
    ) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' is damaged, or no snapshot of EDM: {reason}") from None


def _snapshot(content: Any, size: int) -> EDMSnapshot:
    if not isinstance(content, dict) or "ema" not in content:
        raise RefusedError("no 'ema', under which the averaged network stands")
    outer = content["ema"]
    if not isinstance(outer, Made) or outer.kind.module != _PERSISTENT:
        raise RefusedError("something else than a network of EDM under 'ema'")
    inner = _attributes(outer)["_modules"].get("model")
    if not isinstance(inner, Made) or inner.kind.module != _PERSISTENT:
        raise RefusedError(f"a '{outer.kind.attribute}' without a network 'model' in it")
    facts = {**_plain(outer), **{f"model.{name}": value for name, value in _plain(inner).items()}}
    walk = _Walk()
    walk.into(outer, "", 0)
    if sum(tensor.numel() * tensor.element_size() for tensor in walk.tensors.values()) > size:
        raise RefusedError("tensors that are larger than the file")
    return EDMSnapshot(outer.kind.attribute, inner.kind.attribute, facts, walk.tensors)


class _Walk:
    """Collects the state dictionary of a module and all those in it."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.modules = self.entries = 0

    def into(self, module: Any, prefix: str, depth: int) -> None:
        import torch

        self.modules += 1
        if self.modules > MAX_MODULES or depth > MAX_DEPTH:
            raise RefusedError(f"more than {MAX_MODULES} modules, or modules in modules in modules")
        attributes = _attributes(module)
        # The same dictionaries and names may stand in every module: as many tensors as modules times entries.
        self.entries += sum(len(attributes[kind]) for kind in (*_TENSORS, "_modules"))
        self.entries += len(attributes.get(_PASSING) or ())
        if self.entries > MAX_ENTRIES:
            raise RefusedError(f"more than {MAX_ENTRIES} tensors and modules")
        if max(map(len, (prefix, *attributes["_parameters"], *attributes["_buffers"])), default=0) > MAX_NAME:
            raise RefusedError(f"a name of more than {MAX_NAME} letters")
        passing = {name for name in attributes.get(_PASSING) or () if isinstance(name, str)}
        for kind in _TENSORS:
            for name, value in attributes[kind].items():
                if value is None or (kind == "_buffers" and name in passing):
                    continue
                if not isinstance(value, torch.Tensor):
                    raise RefusedError(f"something else than a tensor as '{prefix}{name}'")
                self.tensors[f"{prefix}{name}"] = value
        for name, inner in attributes["_modules"].items():
            if inner is not None:
                self.into(inner, f"{prefix}{name}.", depth + 1)


def _attributes(module: Any) -> dict[str, Any]:
    state = module.state if isinstance(module, Made) else None
    if not isinstance(state, dict):
        raise RefusedError("a module without attributes")
    for name in (*_TENSORS, "_modules"):
        if not isinstance(state.get(name), dict) or not all(isinstance(key, str) for key in state[name]):
            raise RefusedError(f"a module without '{name}'")
    return state


def _plain(module: Made) -> dict[str, Any]:
    return {str(name): value for name, value in module.state.items() if isinstance(value, bool | int | float | str)}


_PERSISTENT = "(persistent)"
_TENSORS, _PASSING = ("_parameters", "_buffers"), "_non_persistent_buffers_set"
_STORAGES = Name("torch.storage", "_load_from_bytes")


def _persistent_object(meta: Any) -> Made:
    """An object of a class whose source code is in the pickle, as its attributes alone."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("class_name"), str):
        raise RefusedError("an object that EDM does not describe in this way")
    made = Made(Name(_PERSISTENT, meta["class_name"]))
    made.state = meta.get("state")
    return made


@dataclass(frozen=True)
class _Storage:
    """A storage before it is read: the name of its type, and how many numbers it has."""

    kind: str
    count: int


def _storage(kind: Any) -> Name:
    return Name("torch", f"{kind}Storage")


class _Storages:
    """Reads storages, all of them together no larger than the file: the bytes of one could be named again and again."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def __call__(self, data: Any) -> torch.Tensor:
        if not isinstance(data, bytes):
            raise RefusedError("a storage that is no bytes")
        self._left -= len(data)
        if self._left < 0:
            raise RefusedError("storages that are larger than the file")
        return _numbers(data)


def _numbers(data: bytes) -> torch.Tensor:
    """All numbers of a storage in the format of torch.save before PyTorch 1.6, which tensors have within pickles, 1-D."""
    import torch

    source = io.BytesIO(data)
    magic, version, machine = (read_inert(source, {}) for _ in range(3))
    if (
        (magic, version) != (MAGIC, VERSION)
        or not isinstance(machine, dict)
        or machine.get("little_endian") is not True
    ):
        raise RefusedError("a storage in a format that is not known")
    claimed = read_inert(source, _STORAGE_NAMES, _claimed)
    names = read_inert(source, {})
    if not isinstance(claimed, _Storage) or not isinstance(names, list) or len(names) != 1:
        raise RefusedError("several storages where one belongs")
    dtype: torch.dtype = getattr(torch, TYPES[claimed.kind])
    (count,) = struct.unpack("<q", source.read(COUNT_BYTES))
    values = bytearray(source.read())
    if count != claimed.count or len(values) != count * dtype.itemsize:
        raise ValueError(f"a storage claims {claimed.count} numbers and has {len(values)} bytes")
    return torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)


def _claimed(parts: Any) -> _Storage:
    what, kind, _, _, count, view = parts
    if what != "storage" or view is not None or not isinstance(kind, Name) or not isinstance(count, int) or count < 0:
        raise RefusedError("a storage of another kind than plain numbers")
    return _Storage(kind.attribute.removesuffix("Storage"), count)


def _tensor(values: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> torch.Tensor:
    import torch

    if not isinstance(values, torch.Tensor) or values.ndim != 1:
        raise RefusedError("a tensor without numbers")
    shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
    last = int(offset) + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min((int(offset), *shape, *strides)) < 0 or (0 not in shape and last >= len(values)):
        raise ValueError(f"it claims a tensor {shape}, which it does not hold")
    view = values.as_strided(shape, strides, int(offset))
    if view.numel() > len(values):
        raise ValueError(f"it claims a tensor {shape}, which it does not hold")
    return view


def _first(value: Any = (), *_: Any) -> Any:
    """The value itself: copies of one that is named again and again would take memory without end."""
    return value


def _scalar(kind: Any, data: Any) -> Any:
    """A number of NumPy; of another type than the usual ones it is of no use here."""
    codes = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}
    code = kind.arguments[0] if isinstance(kind, Made) and kind.arguments else None
    if not isinstance(code, str) or code not in codes or not isinstance(data, bytes):
        return None
    return struct.unpack(codes[code], data)[0]


def _empty(*arguments: Any) -> dict[str, Any]:
    if arguments:
        raise RefusedError("a dictionary that is not filled item by item")
    return {}


def _made(module: str, attribute: str) -> Any:
    return lambda *arguments: Made(Name(module, attribute), arguments)


def _makers() -> Makers:
    found: dict[Name, Any] = {
        Name("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent_object,
        Name("dnnlib.util", "EasyDict"): _empty,
        Name("collections", "OrderedDict"): _empty,
        Name("builtins", "set"): _first,
        Name("__builtin__", "set"): _first,
        Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
        Name("torch._utils", "_rebuild_parameter"): _first,
        _STORAGES: None,  # each file has its own
        Name("torch", "Size"): _first,
        Name("torch", "device"): lambda kind="cpu", *_: kind,
        Name("numpy", "dtype"): _made("numpy", "dtype"),
        Name("numpy", "ndarray"): None,
    }
    found |= {Name("torch.nn.modules.container", kind): _made("torch.nn", kind) for kind in _CONTAINERS}
    for module in _ARRAYS:
        found[Name(module, "scalar")] = _scalar
        found[Name(module, "_reconstruct")] = _made("numpy", "array")
    return found


_MAKERS = _makers()
_STORAGE_NAMES: Makers = {_storage(kind): None for kind in STORAGES}
