"""What the processes of one run tell each other: whether all go on, and, by their exit codes, why one has ended.

Only the leading process is asked to stop. At every safe point it tells the others what comes of it, and they wait until
they know, so that none of them takes a step that another one does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from difrob.ranks.shares import Ranks

GO_ON = None
ORDERS = (GO_ON, "stop", "abort")
LEADER_GONE = 5  # exit code of a follower that has been left alone
PEER_GONE = 6  # exit code of a process that noticed only that another one had gone


def give_order(ranks: Ranks, grade: str | None) -> None:
    """Tell all who wait in :func:`await_order`: the grade of the stop, or :data:`GO_ON`. For the leading process."""
    ranks.told(ORDERS.index(grade))


def await_order(ranks: Ranks) -> str | None:
    """The grade of the stop that the leading process has been asked for, or :data:`GO_ON`; waits until it is known."""
    return ORDERS[ranks.told(0)]
