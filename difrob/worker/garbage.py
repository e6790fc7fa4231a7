"""Searches for garbage that do not hold up answers: entries of a large queue are left out of them.

Python looks through all that lives when enough has been added, which takes as long as several answers where thousands of
entries live, and finds nothing: entries refer to each other in no circle and go when nobody holds them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

EVERYTHING_SECONDS = 3600.0


class GarbageSearch:
    """Leaves what has come to stay out of the searches, and looks through everything once an hour.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._revision = -1
        self._searched = clock()

    def tick(self, revision: int) -> None:
        """To be called between answers.

        Args:
            revision: another one when entries have been added or changed.
        """
        if self._clock() - self._searched > EVERYTHING_SECONDS:
            self._searched = self._clock()
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif revision != self._revision:
            gc.collect(1)
            gc.freeze()
        self._revision = revision
