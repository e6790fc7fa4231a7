"""The Monitor page on show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot
from support.monitor_scene import Scene

from difrob_gui.charts.scheduler import scheduler


@pytest.fixture
def scene(qtbot: QtBot) -> Iterator[Scene]:
    """The page with hub and client; nothing is left to be painted afterwards."""
    scene = Scene(qtbot)
    yield scene
    scene.page.hide()
    scheduler().flush()
