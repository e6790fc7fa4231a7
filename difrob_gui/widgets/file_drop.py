"""What was dropped or typed: paths of local files and folders."""

from __future__ import annotations

import os

from PySide6.QtCore import QMimeData


def dropped_paths(data: QMimeData) -> list[str]:
    """The local files and folders among what is dragged, each once; addresses elsewhere are left out."""
    paths = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
    return list(dict.fromkeys(path for path in paths if path))


def full_path(text: str) -> str:
    """A path that was typed, as seen from the folder in which the window was started; ``~`` is the person's home."""
    return os.path.abspath(os.path.expanduser(text))
