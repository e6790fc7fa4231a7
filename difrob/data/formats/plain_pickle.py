"""Reading the pickled files of CIFAR without unpickling.

Such files need few instructions: those that build dictionaries, lists, numbers, texts and byte arrays. The few names that
they use are looked at as mere labels; whatever else stands in the file ends the reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.foreign.pickle_machine import Name, PickleMachine, RefusedError

MAX_BYTES = 1 << 30
_RECONSTRUCT = {Name(module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")}
_NDARRAY, _DTYPE, _ENCODE = Name("numpy", "ndarray"), Name("numpy", "dtype"), Name("_codecs", "encode")
_NAMES = {*_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE}
_INSTRUCTIONS = {
    "PROTO", "FRAME", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
    "SHORT_BINBYTES", "NONE", "NEWTRUE", "NEWFALSE", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "MARK",
    "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
    "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
}  # fmt: skip
_OLD_TEXTS = {"SHORT_BINSTRING", "BINSTRING"}  # Python 2: text and bytes alike


class _Bytes(bytes):
    """Bytes of Python 2, which may have been meant as text."""


class _Type:
    """A NumPy type under construction; only unsigned bytes come through."""

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str | bytes) or _text(code) not in ("u1", "|u1"):
            raise RefusedError("an array of another type than unsigned bytes")


class _Array:
    """An array under construction."""

    value: np.ndarray | None = None

    def fill(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _Type) or not isinstance(data, bytes) or not isinstance(shape, tuple):
            raise RefusedError("an array of another type than unsigned bytes")
        if not all(type(side) is int and side >= 0 for side in shape):
            raise RefusedError("an array without a proper shape")
        self.value = np.frombuffer(data, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickled CIFAR file: texts, numbers, lists of them, and uint8 arrays.

    Raises:
        UserError: for a file that needs anything else, or is damaged, or larger than :data:`MAX_BYTES`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"'{path.name}' has more than {MAX_BYTES} bytes, which no CIFAR file has")
    try:
        data = path.read_bytes()
        return _flat(_Reader(len(data)).run(data), len(data))
    except RefusedError as refused:
        raise UserError(
            f"'{path.name}' is no CIFAR file: it holds {refused}; difrob reads pickled files without running them and "
            "takes nothing but numbers, texts and arrays of bytes"
        ) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"'{path.name}' is damaged or no pickled file ({error}); get it again") from None


class _Reader(PickleMachine):
    """Builds arrays of bytes, and what they are made of; all copies together may be as large as the file, ``size``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def step(self, name: str, argument: Any) -> None:
        if name in _OLD_TEXTS:
            self.stack.append(_Bytes(argument.encode("latin-1")))
        elif name in _INSTRUCTIONS:
            super().step(name, argument)
        else:
            raise RefusedError(f"the instruction {name}")

    def check_name(self, name: Name) -> None:
        if name not in _NAMES:
            raise RefusedError(f"the name '{name}'")

    def made(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        if name in _RECONSTRUCT and arguments[:1] == (_NDARRAY,):
            return _Array()
        if name == _DTYPE and arguments:
            return _Type(arguments[0])
        if name == _ENCODE and arguments[1:] == ("latin1",) and isinstance(arguments[0], str):
            self._left -= len(arguments[0])
            if self._left < 0:
                raise RefusedError("one text again and again")
            return arguments[0].encode("latin-1")  # how Python 3 writes bytes in the older protocols
        raise RefusedError(f"a call of '{name}' with unusual arguments")

    def set_state(self, target: Any, state: Any) -> None:
        if isinstance(target, _Array):
            target.fill(state)
        elif not isinstance(target, _Type):  # a byte has no order and no fields: its state says nothing
            raise RefusedError("an object with a state")

    def check_key(self, key: Any) -> None:
        if not isinstance(key, str | bytes):
            raise RefusedError("a dictionary with keys that are no texts")


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _flat(result: Any, size: int) -> dict[str, Any]:
    """Texts to the values of the dictionary; lists hold no lists and are not many times the same, so that a small file
    stays small.
    """
    if not isinstance(result, dict):
        raise RefusedError("no dictionary")
    if sum(len(value) for value in result.values() if type(value) is list) > size:
        raise RefusedError("one list again and again")
    return {str(_text(key)): _plain(value) for key, value in result.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    return [_scalar(item) for item in value] if type(value) is list else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, _Bytes):
        return _text(value)
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    raise RefusedError(f"a {type(value).__name__.strip('_').lower()} where numbers, texts or arrays belong")
