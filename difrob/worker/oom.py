"""How often Linux' out-of-memory killer has struck, so that its victims can be told from those of others.

It kills with SIGKILL, as anybody may, but it counts: in ``/proc/vmstat`` for the whole machine, and for each control group
in ``memory.events`` (version 2) or ``memory.oom_control`` (version 1), all under the name ``oom_kill``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OomKills:
    """Kills so far; None where the system does not tell.

    Attributes:
        machine: in the whole machine.
        group: in the control group of the process in question.
        group_file: where ``group`` stands; None where it does not stand anywhere.
    """

    machine: int | None
    group: int | None
    group_file: Path | None

    @classmethod
    def seen_by(cls, pid: int, root: Path = Path("/")) -> OomKills:
        """The counts that tell of a process.

        Args:
            pid: the process, which must still be there.
            root: where ``proc`` and ``sys`` lie.
        """
        file = _group_file(pid, root)
        return cls(_count(root / "proc/vmstat"), None if file is None else _count(file), file)

    def rose(self, root: Path = Path("/")) -> bool:
        """Whether the killer has struck since. The group's count decides where there is one: others' kills are no news."""
        group = None if self.group_file is None else _count(self.group_file)
        if group is not None and self.group is not None:
            return group > self.group
        machine = _count(root / "proc/vmstat")
        return machine is not None and self.machine is not None and machine > self.machine


def _group_file(pid: int, root: Path) -> Path | None:
    """The file that counts the kills in the control group of a process."""
    with suppress(OSError):
        for line in (root / f"proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                file = root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                file = root / "sys/fs/cgroup/memory" / path.lstrip("/") / "memory.oom_control"
            else:
                continue
            if _count(file) is not None:
                return file
    return None


def _count(path: Path) -> int | None:
    """The number behind ``oom_kill`` in a file of names and numbers; None where there is none."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return None
