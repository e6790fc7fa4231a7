"""What was probably meant by a name that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ALIKE = 0.6  # of difflib's ratio, from 0 to 1: one or two wrong letters in a word


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, or begins with it; None when none is near."""
    names = [other for other in dict.fromkeys(known) if other]
    folded = {other.casefold(): other for other in reversed(names)}
    wanted = name.strip().casefold()
    begun = [other for fold, other in folded.items() if len(wanted) > 2 and fold.startswith(wanted)]
    alike = difflib.get_close_matches(wanted, folded, n=1, cutoff=ALIKE)
    if alike:
        return folded[alike[0]]
    return min(begun, key=len) if begun else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'digits'?`` to end a sentence with; empty when no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f"; did you mean '{near}'?"
