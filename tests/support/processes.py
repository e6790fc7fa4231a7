"""The processes that a test has started in a workspace."""

from __future__ import annotations

from pathlib import Path

import psutil


def processes_of(root: Path) -> list[psutil.Process]:
    """Supervisors, workers and windows of a workspace."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if str(root) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
