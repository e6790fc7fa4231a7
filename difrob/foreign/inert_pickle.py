"""Pickles read without unpickling: what they would build, as plain data.

A pickle is a program. This reader knows the instructions that build plain data, and turns every name in the file into a
label that is never looked up. What calling a name would give is up to the caller's table, whose entries build plain data;
a name that is not in it ends the reading. The instructions are cut apart by the standard library, which runs nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

MAX_INSTRUCTIONS = 5_000_000

_MARK = object()
_PUSH_ARGUMENT = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Name(NamedTuple):
    """A name in a pickle, never looked up."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}.{self.attribute}"


class Made:
    """Stands for an object that a pickle would have made: which kind, of what, and with which attributes."""

    def __init__(self, kind: Name, arguments: tuple[Any, ...] = ()) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: Any = None


class RefusedError(Exception):
    """What a pickle holds that the reader is not to build; the text ends a sentence that begins with ``it holds``."""


class Source(Protocol):
    """A file, or bytes as one; reading on behind a pickle gives what follows it."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


Makers = Mapping[Name, Callable[..., Any] | None]


def read_inert(source: Source, makers: Makers, persistent: Callable[[Any], Any] | None = None) -> Any:
    """What one pickle holds.

    Args:
        source: where it stands; mapped files read no more than there is, whatever lengths the pickle claims.
        makers: for each name that may stand in the pickle what calling it gives; None where it stands for itself, and
            calling it is refused.
        persistent: what stands for something kept outside the pickle; None where nothing may be.

    Returns:
        Plain data, labels (:class:`Name`), and whatever the makers gave. Parts can be shared, and hold themselves.

    Raises:
        RefusedError: for a name or an instruction that is not known.
        ValueError, IndexError, TypeError, KeyError: for what is no pickle, or a damaged one.
    """
    return _Machine(makers, persistent).run(source)


class _Machine:
    """The stack and the memo of the pickle format."""

    def __init__(self, makers: Makers, persistent: Callable[[Any], Any] | None) -> None:
        self.makers = makers
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, source: Source) -> Any:
        for number, (code, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            if number > MAX_INSTRUCTIONS:
                raise RefusedError(f"more than {MAX_INSTRUCTIONS} instructions")
            if code.name == "STOP":
                (result,) = self.stack
                return result
            self._step(code.name, argument)
        raise ValueError("it does not end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            pass
        elif name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            stack.append(self._pop(_TUPLES[name]))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._name(*(argument.split(" ") if name == "GLOBAL" else self._pop(2))))
        elif name in ("REDUCE", "NEWOBJ"):
            stack.append(self._made(*self._pop(2)))
        elif name == "BUILD":
            (state,) = self._pop(1)
            if isinstance(stack[-1], Made):
                stack[-1].state = state
            elif not isinstance(stack[-1], dict):  # attributes of a dictionary are nothing to anybody
                raise RefusedError(f"attributes for a {type(stack[-1]).__name__}")
        elif name in ("PERSID", "BINPERSID"):
            if self.persistent is None:
                raise RefusedError("parts that stand elsewhere")
            stack.append(self.persistent(argument if name == "PERSID" else self._pop(1)[0]))
        else:
            self._fill(name)

    def _fill(self, name: str) -> None:
        """Containers; sets are read as lists."""
        stack = self.stack
        if name == "EMPTY_TUPLE":
            stack.append(())
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("EMPTY_LIST", "EMPTY_SET"):
            stack.append([])
        elif name in ("LIST", "FROZENSET"):
            stack.append(self._since_mark())
        elif name == "APPEND":
            (item,) = self._pop(1)
            self._top(list).append(item)
        elif name in ("APPENDS", "ADDITEMS"):
            items = self._since_mark()
            self._top(list).extend(items)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "SETITEM":
            self._set(*self._pop(2))
        elif name in ("SETITEMS", "DICT"):
            items = self._since_mark()
            if name == "DICT":
                stack.append({})
            for key, value in zip(items[::2], items[1::2], strict=True):
                self._set(key, value)
        else:
            raise RefusedError(f"the instruction {name}")

    def _name(self, module: Any, attribute: Any) -> Name:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise RefusedError("a name that is none")
        found = Name(module, attribute)
        if found not in self.makers:
            raise RefusedError(f"'{found}', which could run code when it is read")
        return found

    def _made(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise RefusedError("a call of something that is no name")
        maker = self.makers[name]
        if maker is None:
            raise RefusedError(f"a call of '{name}'")
        return maker(*arguments)

    def _pop(self, count: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-count:])
        if len(items) != count or any(item is _MARK for item in items):
            raise IndexError("its stack is empty")
        del self.stack[-count:]
        return items

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise IndexError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _set(self, key: Any, value: Any) -> None:
        """Keys are texts or whole numbers: the hash of tuples within tuples can take longer than anybody waits."""
        if not isinstance(key, str | int):
            raise RefusedError(f"a dictionary with a {type(key).__name__} for a key")
        self._top(dict)[key] = value

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"no {kind.__name__} where one belongs")
        return self.stack[-1]
