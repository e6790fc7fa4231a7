"""States of runs that are not in the queue, read from their files when those have changed and not at every tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.locks import is_locked
from difrob.runs.reader import file_stamp

Stamp = tuple[Any, ...]


class StatesOnDisk:
    """What the files of a workspace say about the states of runs.

    A file at rest is read once. A run that lives outside the queue writes all the time; it is looked at once a second.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._workspace = workspace
        self._clock = clock
        self._known: dict[str, tuple[Stamp, RunState | None]] = {}

    def of(self, run_id: str) -> RunState | None:
        """The state of a run; None where there is none."""
        stamp = self._stamp(run_id)
        known = self._known.get(run_id)
        if known is None or known[0] != stamp:
            known = self._known[run_id] = (stamp, self._read(run_id) if any(stamp) else None)
        return known[1]

    def have_changed(self) -> bool:
        """Whether a run that has been asked for, and not been forgotten, may have another state by now."""
        return any(self._stamp(run_id) != stamp for run_id, (stamp, _) in self._known.items())

    def forget_all_but(self, run_ids: Collection[str]) -> None:
        """Keep these runs alone."""
        self._known = {run_id: known for run_id, known in self._known.items() if run_id in run_ids}

    def _read(self, run_id: str) -> RunState | None:
        try:
            return self._workspace.reader(run_id).summary().state
        except UserError:
            return None

    def _stamp(self, run_id: str) -> Stamp:
        """What is another one when the state may be another one; nothing in it is true where there is no run."""
        try:
            path, journal = self._workspace.run_path(run_id), self._workspace.journal_path(run_id)
        except UserError:
            return ()
        if is_locked(journal):
            return file_stamp(path), True, int(self._clock())
        return file_stamp(path), file_stamp(journal), None
