"""Which candidates are drawn together, when some of them will be dropped.

Candidate i has the class that image i has. Candidates are gone through in the order of their indices; one whose class has
all its images already is passed over. So the set is the first so many of each class that survive, whatever the batches.
A batch ends where a further candidate might turn out to be superfluous: nothing is drawn in vain, and what was drawn up to
some place follows from which candidates were kept. That is how an interrupted run finds its place again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

MOST_LOOKED_AT = 1 << 16

Classes = Callable[[np.ndarray], np.ndarray]


class CandidatePlan:
    """Where the drawing of candidates stands.

    Args:
        classes: the classes in 0..K-1 of candidates with these indices.
        wanted: how many images of each class the set shall have, int64 [K].
        batch_size: how many are drawn at once.
        bound: candidates from this index on are never drawn.

    Attributes:
        bound: as given.
        next: index from which the next batch is looked for.
        missing: how many images each class still lacks, int64 [K].
    """

    def __init__(self, classes: Classes, wanted: np.ndarray, batch_size: int, bound: int) -> None:
        self._classes = classes
        self._batch_size = batch_size
        self.bound = bound
        self.next = 0
        self.missing = wanted.copy()

    def batch(self) -> np.ndarray:
        """Indices of the next batch in rising order, int64; none when the set is whole or the bound is reached."""
        found: list[np.ndarray] = []
        pending = np.zeros_like(self.missing)
        start, width, count = self.next, 2 * self._batch_size, 0
        while self.missing.any() and start < self.bound and count < self._batch_size:
            index = np.arange(start, min(start + width, self.bound), dtype=np.int64)
            labels = self._classes(index)
            open_ones = self.missing[labels] > 0
            index, labels = index[open_ones], labels[open_ones]
            superfluous = np.flatnonzero(pending[labels] + _earlier_alike(labels) >= self.missing[labels])
            taken = min(len(index), self._batch_size - count, *superfluous[:1])
            found.append(index[:taken])
            pending += np.bincount(labels[:taken], minlength=len(pending))
            count += taken
            if taken < len(index):
                break
            start, width = start + width, min(2 * width, MOST_LOOKED_AT)
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def advance(self, batch: np.ndarray, kept: np.ndarray) -> None:
        """A batch was drawn, of which these indices were kept."""
        self.take(kept)
        self.next = int(batch[-1]) + 1

    def take(self, kept: np.ndarray) -> None:
        """Images with these indices are there."""
        self.missing -= np.bincount(self._classes(kept), minlength=len(self.missing))

    def passed(self, kept: np.ndarray, until: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Go through batches that were drawn before, as far as their outcome is certain.

        Args:
            kept: indices of all images that were kept from :attr:`next` on, in rising order.
            until: the index before which all candidates have been judged; None where only ``kept`` is known. Then the
                last batch of which an image was kept is not certain: it may have been cut off.

        Yields:
            (batch, those of it that were kept), after the plan has advanced.
        """
        while len(batch := self.batch()):
            last = int(batch[-1])
            if last >= (until if until is not None else int(kept[-1]) if len(kept) else 0):
                return
            those = kept[np.searchsorted(kept, batch[0]) : np.searchsorted(kept, last, side="right")]
            self.advance(batch, those)
            yield batch, those


def _earlier_alike(labels: np.ndarray) -> np.ndarray:
    """How many equal labels stand before each, int64 [n]."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    is_first = np.ones(len(labels), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    places = np.arange(len(labels))
    earlier = np.empty(len(labels), dtype=np.int64)
    earlier[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return earlier
