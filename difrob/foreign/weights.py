"""Weights from anywhere: safetensors, and files of ``torch.save`` as far as they can be read without running code.

PyTorch's restricted reader (``weights_only``) still builds whatever its short list of functions builds. So the pickled part
is looked through first, and anything but tensors, dictionaries, lists and plain values is refused by name.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difrob.errors import UserError
from difrob.foreign.harmless import MAX_PICKLE, MEND, check_pickle
from difrob.foreign.old_weights import is_old_state, read_old_state

if TYPE_CHECKING:
    import torch

MAX_ENTRIES = 200_000


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU.

    The format holds no code; its header is checked against the file's length by the library itself.

    Raises:
        UserError: when the file cannot be read or is not what it claims.
    """
    _require_file(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"'{path}' is no safetensors file that can be read: {_first_line(error)}") from None


def read_torch_state(path: Path) -> dict[str, Any]:
    """What ``torch.save`` wrote: a dictionary of tensors, dictionaries, lists and plain values, on the CPU.

    Tensors are mapped, but for those of files that are older than PyTorch 1.6.

    Raises:
        UserError: for what is no such dictionary, would run code when read, or claims more than the file holds.
    """
    _require_file(path)
    loaded = read_old_state(path) if is_old_state(path) else _read_archive(path)
    if not isinstance(loaded, dict):
        raise UserError(f"'{path}' holds a {type(loaded).__name__}, not a dictionary of weights")
    _check_tensors(loaded, path)
    return loaded


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"'{path}' is not a file" if path.exists() else f"there is no file '{path}'")


def _read_archive(path: Path) -> Any:
    _check_archive(path)
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises what its parts raise
        raise UserError(
            f"'{path}' cannot be read without running code, or is damaged: {_first_line(error)}; {MEND}"
        ) from None


def _check_archive(path: Path) -> None:
    """All entries are stored, so that tensors are mapped instead of unpacked, and the pickled part names harmless things."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"'{path}' is no file of torch.save, neither since PyTorch 1.6 nor of an older one; {MEND}")
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_ENTRIES:
                raise UserError(f"'{path}' has {len(infos)} entries, which no file of weights has")
            size = path.stat().st_size
            for info in infos:
                if (
                    info.compress_type != zipfile.ZIP_STORED
                    or info.file_size != info.compress_size
                    or info.flag_bits & 1
                ):
                    raise UserError(f"'{path}' holds a packed entry '{info.filename}', which torch.save does not write")
                if info.header_offset + info.compress_size > size:
                    raise UserError(
                        f"'{path}' claims {info.file_size} bytes for '{info.filename}', which it does not hold"
                    )
            pickles = [info for info in infos if info.filename.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise UserError(f"'{path}' is no file of torch.save: it has {len(pickles)} entries 'data.pkl'")
            if pickles[0].file_size > MAX_PICKLE:
                raise UserError(f"'{path}' has more than {MAX_PICKLE} bytes beside its tensors, which are not read")
            check_pickle(archive.read(pickles[0]), path)
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"'{path}' is damaged: {_first_line(error)}") from None


def _check_tensors(value: Any, path: Path, depth: int = 0) -> None:
    """No tensor claims more numbers than its storage has: one number repeated a billion times is no weight."""
    import torch

    if depth > 20:
        raise UserError(f"'{path}' is nested too deeply for a file of weights")
    if isinstance(value, torch.Tensor):
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"'{path}' claims a tensor {tuple(value.shape)}, which it does not hold")
    elif isinstance(value, dict):
        for item in value.values():
            _check_tensors(item, path, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_tensors(item, path, depth + 1)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
