"""What a pickled file of weights may name: tensors and containers, nothing that runs code or takes memory when it is read."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.foreign.pickle_machine import Name, PickleMachine, RefusedError

MAX_PICKLE = 64 << 20
MAX_COPIED = 1 << 24
MOST_PARTS = 16  # of a tuple that is a key
MEND = "save its tensors with safetensors on the machine that made it"
STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    ("torch", "device"),
} | {("torch", f"{name}Storage") for name in STORAGES}
_OLD_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # Python 2
_NOT_OF_TORCH = {"STACK_GLOBAL", "EMPTY_SET", "ADDITEMS", "FROZENSET"}  # of newer protocols than torch.save writes


def check_pickle(data: bytes, path: Path) -> None:
    """Work through a pickle without unpickling it, to see that unpickling is harmless and soon over.

    Args:
        data: the pickle.
        path: the file that errors name.

    Raises:
        UserError: when it names anything that is not harmless, holds more than weights need, or is none.
    """
    try:
        _DryRun(path).run(data)
    except RefusedError as refused:
        raise UserError(
            f"'{path}' is pickled in a way that torch.save does not use: it holds {refused}; {MEND}"
        ) from None
    except (
        ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError, struct.error, RecursionError,
    ) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' is damaged: {reason}") from None


class _DryRun(PickleMachine):
    """Builds nothing but containers, and looks at what unpickling would copy or hash."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._copied = 0

    def step(self, name: str, argument: Any) -> None:
        if name in _OLD_TEXTS:
            self.stack.append(argument)
        elif name in ("PERSID", "BINPERSID"):
            if name == "BINPERSID":
                self.pop(1)
            self.stack.append(None)
        elif name in _NOT_OF_TORCH:
            raise RefusedError(f"the instruction {name}")
        else:
            super().step(name, argument)

    def check_name(self, name: Name) -> None:
        if name not in _HARMLESS:
            raise UserError(
                f"'{self._path}' wants '{name}', which could run code or take memory when it is read; {MEND}"
            )

    def made(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        # A list can be given to any number of calls, each of which would copy it.
        self._copied += sum(len(part) for part in arguments if isinstance(part, list | tuple | dict))
        if self._copied > MAX_COPIED:
            raise UserError(f"'{self._path}' claims more than {MAX_COPIED} values beside its tensors")
        return {}

    def set_state(self, target: Any, state: Any) -> None:
        pass

    def check_key(self, key: Any) -> None:
        # The hash of tuples of tuples, and of numbers that are made for it, can take longer than anybody waits.
        parts = key[: MOST_PARTS + 1] if isinstance(key, tuple) else (key,)
        for part in parts:
            if isinstance(part, tuple) or len(parts) > MOST_PARTS or (isinstance(part, int) and part.bit_length() > 64):
                raise RefusedError("a dictionary with keys that are neither texts nor small numbers")
