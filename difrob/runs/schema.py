"""The version of what run files and journals hold, and the refusal of what is damaged or a newer difrob wrote.

Version 1 is the first. Version 2 names the interval of a metric: in the attribute ``interval`` of its group, and once per
metric in the journal. Everything of version 1 is read like version 2 with the name missing, and written as version 2 by the
next fold. Version 3 says of each metric, curve and result what it is (title, unit, which way is better), and keeps the
conditions of a result as data; of version 2, whose descriptions held them as prose, they are taken from there.
"""

from __future__ import annotations

from typing import Any

from difrob.errors import UserError

SCHEMA_VERSION = 3


class Damaged(UserError):
    """What lies in a run file contradicts itself; no other time, version or machine would read it better."""


class Newer(UserError):
    """A newer difrob wrote it: nothing is wrong with it, and it is to be left as it is."""


def check_version(version: Any, name: str) -> None:
    """Raise :class:`Newer` for a version that this difrob does not know, ValueError or TypeError for what is none.

    Args:
        version: as it was read.
        name: of the file, for the message.
    """
    if int(version) > SCHEMA_VERSION:
        raise Newer(
            f"'{name}' has schema version {int(version)}; this difrob reads up to {SCHEMA_VERSION}: install a newer difrob"
        )
