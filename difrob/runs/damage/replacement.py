"""Putting a whole file in the place of a damaged one. The damaged one is set aside and never deleted."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from difrob.errors import UserError
from difrob.runs.damage.inspection import Inspection, Inspector
from difrob.runs.damage.limits import THE_FILE
from difrob.runs.run_file import partial_of, put_in_place, sync_folder


@dataclass(frozen=True)
class Replacement:
    """What came of a damaged file.

    Attributes:
        inspection: what was lost, and how many pieces were saved.
        aside: where the damaged file lies now.
        is_there: whether there is a whole file again; not if nothing could be saved.
    """

    inspection: Inspection
    aside: Path
    is_there: bool

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if not self.is_there:
            why = self.inspection.lost.get(THE_FILE, "")
            return f"nothing in its file could be read ({why}); the file lies in '{self.aside.name}'"
        lost = ", ".join(f"{name} ({why})" for name, why in self.inspection.lost.items())
        return (
            f"its file was damaged: {self.inspection.read} pieces were saved, lost were {lost or 'none'}; "
            f"the damaged file lies in '{self.aside.name}'"
        )


def replace_damaged(path: Path, run_id: str, inspector: Inspector | None = None) -> Replacement:
    """Write everything readable in a damaged run file into a new one in its place. The caller holds the run's lock.

    Raises:
        UserError: when the file cannot be read for another reason than damage; it is untouched.
        OSError: when the disk is full; it is untouched.
    """
    if inspector is None:
        with Inspector() as inspector:
            return replace_damaged(path, run_id, inspector)
    partial = partial_of(path)
    try:
        inspection = inspector.save(path, partial, run_id)
        if inspection.refused:
            raise UserError(inspection.refused)
        is_there = partial.exists()
        aside = set_aside(path, keep=is_there)
        if is_there:
            put_in_place(partial, path)
        return Replacement(inspection, aside, is_there)
    finally:
        with suppress(OSError):
            partial.unlink()


def set_aside(path: Path, *, keep: bool = False) -> Path:
    """Give a damaged file a name by which nobody takes it for a good one, without overwriting an earlier one.

    Args:
        keep: leave it at ``path`` too, for whoever replaces it there at once, where the file system can do that.
    """
    target, number = path.with_name(f"{path.name}.damaged"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{number}")
    if keep:
        try:
            os.link(path, target)
        except OSError:
            path.rename(target)
    else:
        path.rename(target)
    sync_folder(path.parent)
    return target
