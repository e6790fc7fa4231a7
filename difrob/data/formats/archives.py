"""Taking known files out of a tar archive, and nothing else."""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path

from difrob.errors import UserError

MAX_FILE_BYTES = 1 << 30
_BLOCK = 1 << 20


def is_tar(path: Path) -> bool:
    """Whether the file is called like a tar archive, packed or not."""
    return path.is_file() and path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


def unpack(archive: Path, wanted: re.Pattern[str], folder: Path) -> Path:
    """Copy the plain files whose last name matches ``wanted`` into ``folder``, under that name alone.

    So no path in the archive can lead out of the folder, and links are not followed.

    Returns:
        The folder.

    Raises:
        UserError: for a damaged archive, two files of one name, or a file of more than :data:`MAX_FILE_BYTES`.
    """
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                if not member.isfile() or not wanted.fullmatch(name):
                    continue
                if (folder / name).exists():
                    raise UserError(f"'{archive.name}' holds two files '{name}'; unpack it and give the right folder")
                _copy(tar, member, folder / name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"'{archive.name}' is damaged or cut off ({error}); get it again") from None
    return folder


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.size > MAX_FILE_BYTES:
        raise UserError(f"'{member.name}' in the archive announces {member.size} bytes, which no file of CIFAR has")
    source = tar.extractfile(member)
    if source is None:
        raise UserError(f"'{member.name}' cannot be taken out of the archive; unpack it and give the folder")
    left = member.size
    with open(target, "xb") as file:
        while left and (part := source.read(min(left, _BLOCK))):
            file.write(part)
            left -= len(part)
    if left:
        raise UserError(f"'{member.name}' is cut off in the archive; get it again")
