"""Waiting for room on a full disk: nothing is dropped, nothing torn, and the run goes on when somebody has freed some."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from difrob.runs.stop import StopControl

WAIT_SECONDS = 1.0
RETRY_SECONDS = 20.0  # where a quota hides how much room there is
_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_full(error: OSError) -> bool:
    """Whether the disk refused for lack of room, or of quota."""
    return error.errno in _NO_ROOM


class RoomWatch:
    """What could not be written for lack of room, and the waiting for it.

    Args:
        folder: where is written to.
        control: wakes those who wait when the run is asked to stop.
    """

    def __init__(self, folder: Path, control: StopControl) -> None:
        self._folder = folder
        self._control = control
        self._missing: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anything waits for room."""
        return bool(self._missing)

    def lacks(self, purpose: str) -> None:
        """Something could not be written."""
        self._missing.add(purpose)

    def has(self, purpose: str) -> None:
        """It has been written."""
        self._missing.discard(purpose)

    def pause(self) -> None:
        """Sleep a little. Raises ``Stopped`` when asked to stop."""
        self._control.wait(WAIT_SECONDS)

    def persist(self, purpose: str, write: Callable[[], None]) -> bool:
        """Write, trying again until the disk has room.

        Returns:
            Whether there was a wait.

        Raises:
            Stopped: when asked to stop meanwhile.
            OSError: when the disk refuses for another reason.
        """
        waited = False
        try:
            while True:
                try:
                    write()
                    return waited
                except OSError as error:
                    if not is_full(error):
                        raise
                waited = True
                self.lacks(purpose)
                self._wait_for_more_room()
        finally:
            self.has(purpose)

    def _wait_for_more_room(self) -> None:
        """Wait until somebody has freed something: each try of a large fold fills the disk again for everybody."""
        free, deadline = self._free_bytes(), time.monotonic() + RETRY_SECONDS
        while True:
            self.pause()
            if self._free_bytes() > free or time.monotonic() > deadline:
                return

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free
