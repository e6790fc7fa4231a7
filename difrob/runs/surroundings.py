"""What a run was made with and where: versions, platform, source revision, process, boot. Recorded in every run."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("difrob", "torch", "numpy", "h5py", "diffusers")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def surroundings() -> dict[str, Any]:
    """Facts about this process and what it runs on, as plain JSON data."""
    versions = _versions()
    return {
        "versions": versions, "python": platform.python_version(), "platform": platform.platform(),
        "difrob_version": versions.get("difrob", ""), "torch_version": versions.get("torch", ""),
        "git_commit": _git_commit(), "host": socket.gethostname(), "pid": os.getpid(), "boot": boot_id(),
    }  # fmt: skip


def boot_id() -> str:
    """Tells one boot of this machine from another.

    The kernel's own id where there is one: the time of the boot is worked out from the clock, which jumps and jitters.
    """
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return str(round(psutil.boot_time(), -1))  # pragma: no cover - elsewhere than on Linux


@lru_cache
def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


@lru_cache
def _git_commit() -> str:
    """The commit of the checkout that this is run from, with ``-dirty`` if it was changed; "" for an installed copy."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5).stdout.strip()
    return ""
