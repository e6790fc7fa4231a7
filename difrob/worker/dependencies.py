"""Who waits for whom: walks along the dependencies of the queue, each entry looked at once, however they meet or how long
a chain of them is."""

from __future__ import annotations

from collections.abc import Mapping

from difrob.worker.messages import Entry


def those_behind(run_id: str, entries: Mapping[str, Entry]) -> set[str]:
    """A run and all entries that wait for it, directly or through others: what it must not itself wait for."""
    followers: dict[str, list[str]] = {}
    for other, entry in entries.items():
        for parent in entry.after:
            followers.setdefault(parent, []).append(other)
    found, ahead = {run_id}, [run_id]
    while ahead:
        new = [other for other in followers.get(ahead.pop(), ()) if other not in found]
        found.update(new)
        ahead += new
    return found
