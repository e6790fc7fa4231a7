"""How many checkpoints a run keeps: a setting of the workspace, in ``workspace.json`` in its root.

The file is small and may be written by hand: ``{"keep_last": 2, "keep_best": true}``. Without it, and for what it does not
name, the defaults hold. It is read when a run starts or resumes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from difrob.errors import UserError
from difrob.json_files import read_json_object

SETTINGS_FILE = "workspace.json"
MOST_KEPT = 1000
_MAX_BYTES = 65_536


@dataclass(frozen=True)
class Retention:
    """The newest ``keep_last`` checkpoints are kept (1 to 1000), and the best one with ``keep_best``.

    The newest one always stays: it is what a run goes on from.
    """

    keep_last: int = 2
    keep_best: bool = True

    def __post_init__(self) -> None:
        if type(self.keep_last) is not int or not 1 <= self.keep_last <= MOST_KEPT:
            raise UserError(f"'keep_last' must be a whole number from 1 to {MOST_KEPT}, not {self.keep_last!r}")
        if type(self.keep_best) is not bool:
            raise UserError(f"'keep_best' must be true or false, not {self.keep_best!r}")

    def kept(self, keys: Collection[str], best: str | None) -> set[str]:
        """Of the ``keys`` of checkpoints, which sort like their steps, those that stay; ``best`` is the best one's."""
        newest = set(sorted(keys)[-self.keep_last :])
        return newest | ({best} if self.keep_best and best is not None else set())

    def __str__(self) -> str:
        last = "the last checkpoint" if self.keep_last == 1 else f"the last {self.keep_last} checkpoints"
        return f"{last} and the best" if self.keep_best else last


def read_retention(root: Path) -> Retention:
    """The setting of a workspace; the defaults where it has none.

    Raises:
        UserError: when the file cannot be read or makes no sense; a run must not start with another setting than was meant.
    """
    path = root / SETTINGS_FILE
    try:
        values = read_json_object(path, _MAX_BYTES)
        known = Retention.__dataclass_fields__.keys()
        if unknown := sorted(values.keys() - known):
            raise UserError(f"it has no setting '{unknown[0]}', only {' and '.join(sorted(known))}")
        return Retention(**values)
    except FileNotFoundError:
        return Retention()
    except OSError as error:
        raise UserError(f"the settings '{path}' cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(
            f"the settings '{path}' are not right: {error}; mend the file, delete it, "
            "or set them anew with 'difrob runs keep --last 2 --best'"
        ) from None


def write_retention(root: Path, retention: Retention) -> None:
    """Store the setting, whole or not at all. Raises UserError when the folder cannot be written."""
    path = root / SETTINGS_FILE
    partial = path.with_name(f".{SETTINGS_FILE}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "x", encoding="utf-8") as file:
            file.write(json.dumps(asdict(retention), indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"the settings '{path}' cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink()
