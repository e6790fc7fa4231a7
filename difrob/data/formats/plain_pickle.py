"""Reading the pickled files of CIFAR without unpickling.

A pickle is a program, and unpickling runs it. This reader knows the few instructions that build dictionaries, lists,
numbers, texts and byte arrays, and looks at the few names that such files use as mere labels; whatever else stands in the
file ends the reading. The instructions are cut apart by the standard library's disassembler, which runs nothing.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from difrob.errors import UserError

MAX_BYTES = 1 << 30
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT = {(module, "_reconstruct") for module in _MODULES}
_NDARRAY, _DTYPE, _ENCODE = ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")
_GLOBALS = {*_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE}
_PUSH_ARGUMENT = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_PUSH_OLD_TEXT = {"SHORT_BINSTRING", "BINSTRING"}  # Python 2: text and bytes alike
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Global(tuple[str, str]):
    """A name in the file: (module, attribute). It is never looked up."""


class _Bytes(bytes):
    """Bytes of Python 2, which may have been meant as text."""


class _Type:
    """A NumPy type under construction; only unsigned bytes come through."""

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str | bytes) or _text(code) not in ("u1", "|u1"):
            raise _Refused("an array of another type than unsigned bytes")


class _Array:
    """An array under construction."""

    value: np.ndarray | None = None

    def fill(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _Type) or not isinstance(data, bytes) or not isinstance(shape, tuple):
            raise _Refused("an array of another type than unsigned bytes")
        if not all(type(side) is int and side >= 0 for side in shape):
            raise _Refused("an array without a proper shape")
        self.value = np.frombuffer(data, np.uint8).reshape(shape, order="F" if is_fortran else "C")


class _Refused(Exception):
    """What a file of images and labels has no use for."""


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickled CIFAR file: texts, numbers, lists of them, and uint8 arrays.

    Raises:
        UserError: for a file that needs anything else, or is damaged, or larger than :data:`MAX_BYTES`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"'{path.name}' has more than {MAX_BYTES} bytes, which no CIFAR file has")
    try:
        return _flat(_Machine().run(path.read_bytes()))
    except _Refused as refused:
        raise UserError(
            f"'{path.name}' is no CIFAR file: it holds {refused}; difrob reads pickled files without running them and "
            "takes nothing but numbers, texts and arrays of bytes"
        ) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"'{path.name}' is damaged or no pickled file ({error}); get it again") from None


class _Machine:
    """The stack and the memo of the pickle format, for the instructions that are known."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for code, argument, _ in pickletools.genops(data):
            if code.name == "STOP":
                (result,) = self.stack
                return result
            self._step(code.name, argument)
        raise ValueError("it does not end")

    def _step(self, name: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        if name in ("PROTO", "FRAME"):
            pass
        elif name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _PUSH_OLD_TEXT:
            stack.append(_Bytes(argument.encode("latin-1")))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name in _TUPLES:
            stack.append(self._pop(_TUPLES[name]))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "APPEND":
            (item,) = self._pop(1)
            self._top(list).append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            self._top(list).extend(items)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "SETITEM":
            self._set(*self._pop(2))
        elif name == "SETITEMS":
            items = self._since_mark()
            for key, value in zip(items[::2], items[1::2], strict=True):
                self._set(key, value)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, attribute = argument.split(" ") if name == "GLOBAL" else self._pop(2)
            if not (isinstance(module, str) and isinstance(attribute, str)) or (module, attribute) not in _GLOBALS:
                raise _Refused("a name that is none" if name == "STACK_GLOBAL" else f"the name '{module}.{attribute}'")
            stack.append(_Global((module, attribute)))
        elif name == "REDUCE":
            stack.append(_made(*self._pop(2)))
        elif name == "BUILD":
            (state,) = self._pop(1)
            if isinstance(stack[-1], _Array):
                stack[-1].fill(state)
            elif not isinstance(stack[-1], _Type):  # a byte has no order and no fields: its state says nothing
                raise _Refused("an object with a state")
        else:
            raise _Refused(f"the instruction {name}")

    def _pop(self, count: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-count:])
        if len(items) != count or any(item is _MARK for item in items):
            raise IndexError("its stack is empty")
        del self.stack[-count:]
        return items

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _set(self, key: Any, value: Any) -> None:
        """Keys are texts: the hash of tuples within tuples can take longer than anybody waits."""
        if not isinstance(key, str | bytes):
            raise _Refused("a dictionary with keys that are no texts")
        self._top(dict)[key] = value

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"no {kind.__name__} where one belongs")
        return self.stack[-1]


def _made(name: Any, arguments: Any) -> Any:
    """What calling a known name would have given."""
    if not isinstance(name, _Global) or not isinstance(arguments, tuple):
        raise _Refused("a call of something unknown")
    if name in _RECONSTRUCT and arguments[:1] == (_NDARRAY,):
        return _Array()
    if name == _DTYPE and arguments:
        return _Type(arguments[0])
    if name == _ENCODE and arguments[1:] == ("latin1",) and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")  # how Python 3 writes bytes in the older protocols
    raise _Refused(f"a call of '{'.'.join(name)}' with unusual arguments")


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _flat(result: Any) -> dict[str, Any]:
    """Texts to the values of the dictionary; lists hold no lists, so that a small file stays small."""
    if not isinstance(result, dict):
        raise _Refused("no dictionary")
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
    raise _Refused(f"a {type(value).__name__.strip('_').lower()} where numbers, texts or arrays belong")
