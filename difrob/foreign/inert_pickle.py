"""Pickles read without unpickling: what they would build, as plain data.

What calling a name in the file would give is up to the caller's table, whose entries build plain data; a name that is not
in it ends the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from difrob.foreign.pickle_machine import Name, PickleMachine, RefusedError, Source


class Made:
    """Stands for an object that a pickle would have made: which kind, of what, and with which attributes."""

    def __init__(self, kind: Name, arguments: tuple[Any, ...] = ()) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: Any = None


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
    return _Reader(makers, persistent).run(source)


class _Reader(PickleMachine):
    """Makes what the caller's table says."""

    def __init__(self, makers: Makers, persistent: Callable[[Any], Any] | None) -> None:
        super().__init__()
        self._makers = makers
        self._persistent = persistent

    def step(self, name: str, argument: Any) -> None:
        if name not in ("PERSID", "BINPERSID"):
            super().step(name, argument)
        elif self._persistent is None:
            raise RefusedError("parts that stand elsewhere")
        else:
            self.stack.append(self._persistent(argument if name == "PERSID" else self.pop(1)[0]))

    def check_name(self, name: Name) -> None:
        if name not in self._makers:
            raise RefusedError(f"'{name}', which could run code when it is read")

    def made(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        maker = self._makers[name]
        if maker is None:
            raise RefusedError(f"a call of '{name}'")
        return maker(*arguments)

    def set_state(self, target: Any, state: Any) -> None:
        if isinstance(target, Made):
            target.state = state
        elif not isinstance(target, dict):  # attributes of a dictionary are nothing to anybody
            raise RefusedError(f"attributes for a {type(target).__name__}")

    def check_key(self, key: Any) -> None:
        if isinstance(key, int) and key.bit_length() > 64:  # multiples of one number can be made to share a place
            raise RefusedError("a dictionary with a number of more than 64 bits for a key")
        if not isinstance(key, str | int):
            raise RefusedError(f"a dictionary with a {type(key).__name__} for a key")
