"""How a window starts: what it imports until rows are painted, and pages that are made when somebody asks for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor
from support.recorded_runs import recording
from support.shown_choices import option_ids

from difrob.runs import RunState, Workspace
from difrob_gui.main_window import MainWindow
from difrob_gui.settings import WindowSettings
from difrob_gui.theme import THEMES

SCRIPT = """
import json, os, sys, tempfile
from pathlib import Path
from difrob_gui.app import import_window
import_window()
from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication
from difrob.runs import Workspace
from difrob_gui.app import compose_window
from difrob_gui.settings import WindowSettings

app = QApplication([])
with tempfile.TemporaryDirectory() as folder:
    window = compose_window(Workspace(sys.argv[1]), WindowSettings(Path(folder) / "window.ini"), autostart=False)
    class Watch(QObject):
        def eventFilter(self, watched, event):
            if event.type() is QEvent.Type.Paint and window.runs.model.rowCount():
                print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), flush=True)
                os._exit(0)
            return False
    watch = Watch()
    window.runs.table.viewport().installEventFilter(watch)
    window.show()
    window.start()
    app.exec()
"""


def test_until_rows_are_painted_nothing_heavy_is_imported(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "listed")
    with recording(workspace) as run:
        run.finish(RunState.FINISHED)
    workspace.summaries()
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(workspace.root)],
        capture_output=True, text=True, timeout=100, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    heavy = {"numpy", "scipy", "h5py", "torch", "sklearn", "diffusers", "PIL", "pyqtgraph"}
    assert not heavy & set(json.loads(process.stdout))


def made(window: MainWindow) -> set[str]:
    """The pages that there are, by the names of their classes."""
    return {type(window._stack.widget(place)).__name__ for place in range(window._stack.count())}


def test_a_page_is_made_when_it_is_first_shown(window: MainWindow) -> None:
    assert made(window) == {"LaunchPage", "QueuePage"}
    window.show_page("compare")
    assert made(window) == {"LaunchPage", "QueuePage", "ComparePage"}
    for name in window.pages:
        window.show_page(name)
        assert window.page == name and window._stack.currentWidget() is window.pages[name]()
    assert len(made(window)) == len(window.pages) == window._stack.count()


def test_actions_of_pages_that_were_never_shown_are_off(window: MainWindow) -> None:
    assert not any(window.actions_table[name].isEnabled() for name in ("data.use", "data.check", "study.run"))
    assert made(window) == {"LaunchPage", "QueuePage"}, "asking made a page"


def test_a_form_that_is_made_late_knows_what_has_happened(
    qtbot: QtBot, tmp_path: Path, server: FakeSupervisor, make_window: Callable[..., MainWindow]
) -> None:
    settings = WindowSettings(tmp_path / "window.ini")
    settings.put("page", "queue")
    settings.save()
    server.state = server.state.model_copy(update={"lanes": ["cpu", "cuda:0"]})
    window = make_window()
    qtbot.waitUntil(lambda: window.more.shelf.is_read and window.runs.model.total == 5, timeout=30_000)
    assert window.page == "queue" and made(window) == {"QueuePage"}
    window.show_page("launch")
    lane = window.launch.header.lane
    assert [lane.itemData(row) for row in range(lane.count())] == ["any", "cpu", "cuda:0"]
    assert "digits" in window.launch.form.rows["data.dataset"].editor.names()
    window.launch.choose_kind("evaluate")
    picker = window.launch.form.rows["classifier"].editor.picker
    assert set(option_ids(picker)) == {"done", "other"}


def test_a_page_that_is_made_late_has_the_theme_in_force(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_table["view.theme_dark"].trigger()
    window.show_page("monitor")
    window.show_run("done")
    background = window.monitor.palette().color(window.monitor.backgroundRole())
    assert background.name() == THEMES["dark"].background
