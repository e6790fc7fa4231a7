"""The stack and the memo of the pickle format, for readers that run nothing.

A pickle is a program. This machine knows the instructions that build plain data, and turns every name in the file into a
label that is never looked up; what names, calls, states and keys are worth is up to the reader of each kind of file. The
instructions are cut apart by the standard library's disassembler, which runs nothing.
"""

from __future__ import annotations

import pickletools
from abc import ABC, abstractmethod
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


class RefusedError(Exception):
    """What a pickle holds that the reader is not to build; the text ends a sentence that begins with ``it holds``."""


class Source(Protocol):
    """A file, or bytes as one; reading on behind a pickle gives what follows it."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


class PickleMachine(ABC):
    """Works through one pickle; readers say what they take by its methods, and raise :class:`RefusedError` for the rest.

    Attributes:
        stack: what has been built and not yet put into anything.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, source: Source | bytes) -> Any:
        """What one pickle holds. Parts can be shared, and hold themselves.

        Raises:
            RefusedError: for what the reader does not take, and for more than :data:`MAX_INSTRUCTIONS`.
            ValueError, IndexError, TypeError, KeyError: for what is no pickle, or a damaged one.
        """
        for number, (code, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            if number > MAX_INSTRUCTIONS:
                raise RefusedError(f"more than {MAX_INSTRUCTIONS} instructions")
            if code.name == "STOP":
                (result,) = self.stack
                return result
            self.step(code.name, argument)
        raise ValueError("it does not end")

    @abstractmethod
    def check_name(self, name: Name) -> None:
        """Refuses a name that such files have no use for."""

    @abstractmethod
    def made(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        """What stands for the result of calling a name that was let through."""

    @abstractmethod
    def set_state(self, target: Any, state: Any) -> None:
        """Gives a state to what was built, where such files do that."""

    @abstractmethod
    def check_key(self, key: Any) -> None:
        """Refuses a key of a dictionary; tuples must be refused, whose hash can take longer than anybody waits."""

    def step(self, name: str, argument: Any) -> None:
        """One instruction, by its name in :mod:`pickletools`."""
        stack, memo = self.stack, self._memo
        if name in ("PROTO", "FRAME"):
            pass
        elif name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._remember(int(argument))
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            stack.append(self.pop(_TUPLES[name]))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, attribute = argument.split(" ") if name == "GLOBAL" else self.pop(2)
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise RefusedError("a name that is none")
            label = Name(module, attribute)
            self.check_name(label)
            stack.append(label)
        elif name in ("REDUCE", "NEWOBJ"):
            label, arguments = self.pop(2)
            if not isinstance(label, Name) or not isinstance(arguments, tuple):
                raise RefusedError("a call of something that is no name")
            stack.append(self.made(label, arguments))
        elif name == "BUILD":
            (state,) = self.pop(1)
            self.set_state(stack[-1], state)
        else:
            self._fill(name)

    def _remember(self, place: int) -> None:
        if not 0 <= place <= MAX_INSTRUCTIONS:  # no writer leaves out places, and chosen ones could be slow to look up
            raise RefusedError(f"a part number {place}")
        self._memo[place] = self.stack[-1]

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
            (item,) = self.pop(1)
            self._top(list).append(item)
        elif name in ("APPENDS", "ADDITEMS"):
            items = self._since_mark()
            self._top(list).extend(items)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "SETITEM":
            self._set(*self.pop(2))
        elif name in ("SETITEMS", "DICT"):
            items = self._since_mark()
            if name == "DICT":
                stack.append({})
            for key, value in zip(items[::2], items[1::2], strict=True):
                self._set(key, value)
        else:
            raise RefusedError(f"the instruction {name}")

    def pop(self, count: int) -> tuple[Any, ...]:
        """The uppermost items of the stack, the lowest of them first, taken off it."""
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
        self.check_key(key)
        self._top(dict)[key] = value

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"no {kind.__name__} where one belongs")
        return self.stack[-1]
