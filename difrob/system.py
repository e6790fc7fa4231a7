"""What the machine offers to the window: Qt's system libraries, a font, a display. Imports neither Qt nor torch."""

from __future__ import annotations

import ctypes
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

from difrob.resources import resource_path

FONT_PACKAGE = "fonts-dejavu-core"
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


@dataclass(frozen=True)
class SystemLibrary:
    """A shared library that Qt loads: file name, Debian package, and whether a real window alone needs it."""

    file: str
    package: str
    window_only: bool


def qt_libraries() -> list[SystemLibrary]:
    """The libraries that Qt needs on Linux, from ``resources/system-libraries.txt``."""
    libraries = []
    for line in resource_path("system-libraries.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            file, package, need = line.split()
            libraries.append(SystemLibrary(file, package, need == "window"))
    return libraries


def missing_qt_libraries(*, for_window: bool) -> list[SystemLibrary]:
    """Those of them that cannot be loaded here; always empty on other systems than Linux, whose wheels bring them."""
    if not sys.platform.startswith("linux"):
        return []
    return [
        library for library in qt_libraries() if (for_window or not library.window_only) and not _loads(library.file)
    ]


def _loads(file: str) -> bool:
    try:
        ctypes.CDLL(file)
    except OSError:
        return False
    return True


def has_font() -> bool:
    """Whether any outline font is installed; Qt on Linux brings none."""
    if not sys.platform.startswith("linux"):
        return True
    folders = (Path(folder).expanduser() for folder in _FONT_FOLDERS)
    return any(path.suffix in (".ttf", ".otf", ".ttc") for folder in folders for path in folder.rglob("*"))


def has_display() -> bool:
    """Whether a window could be shown (on Linux: an X or Wayland display is named)."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def install_command(packages: list[str]) -> str:
    """The command that installs Debian packages, as it must be typed here."""
    prefix = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    return f"{prefix}apt-get install -y {' '.join(packages)}"


def pip_command(packages: Sequence[str]) -> str:
    """The command that installs packages in the versions that difrob asks for."""
    wanted = [requirement.partition(";")[0].strip() for requirement in requires("difrob") or []]
    chosen = [next((text for text in wanted if text.startswith(package)), package) for package in packages]
    return f"{sys.executable} -m pip install {' '.join(shlex.quote(text) for text in chosen)}"
