"""Where real data files for tests lie, if anywhere."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data_folder() -> Path | None:
    """``DIFROB_TEST_DATA``, else a folder ``shared/data`` beside the project; None where neither exists."""
    project = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("DIFROB_TEST_DATA") or project.parent / "shared" / "data")
    return folder if folder.is_dir() else None
