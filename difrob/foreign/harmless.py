"""What a pickled file of weights may name: tensors and containers, nothing that runs code or takes memory when it is read."""

from __future__ import annotations

import pickletools
import struct
from pathlib import Path

from difrob.errors import UserError

MAX_PICKLE = 64 << 20
MEND = "save its tensors with safetensors on the machine that made it"
STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    ("torch", "device"),
} | {("torch", f"{name}Storage") for name in STORAGES}


def check_pickle(data: bytes, path: Path) -> None:
    """Look through a pickle without unpickling it.

    Args:
        data: the pickle.
        path: the file that errors name.

    Raises:
        UserError: when it names anything that is not harmless, or is none.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                if (module, name) not in _HARMLESS:
                    raise UserError(
                        f"'{path}' wants '{module}.{name}', which could run code or take memory when it is read; {MEND}"
                    )
            elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ"):
                raise UserError(f"'{path}' is pickled in a way that torch.save does not use; {MEND}")
    except (ValueError, IndexError, struct.error, UnicodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' is damaged: {reason}") from None
