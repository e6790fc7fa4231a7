"""The main window as a whole: news, pages, commands, session, theme, names, and what it leaves behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSlider,
    QTextEdit,
    QWidget,
)
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.fake_workspace import FakeWorkspace, make_summary
from support.shown_choices import option_ids, palette_texts
from support.window_words import shown, trigger

from difrob.runs import RunState
from difrob.worker.messages import LiveProgress, Meters
from difrob_gui.app import install_excepthook
from difrob_gui.client import Link
from difrob_gui.main_window import MainWindow
from difrob_gui.settings import WindowSettings
from difrob_gui.theme import current_theme
from difrob_gui.widgets.toasts import Tone


def test_every_action_does_something(window: MainWindow) -> None:
    assert window.actions_table.unbound() == []


def test_runs_from_files_and_queue_newest_first(window: MainWindow) -> None:
    assert shown(window) == ["waits", "live", "done", "other", "fallen"]
    assert window.status.queue.text() == "1 running, 1 waiting"
    assert window.status.link.text() == "Connected"


def test_live_numbers_reach_the_table(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    server.event("progress", progress=LiveProgress(run_id="live", done=1, total=4, headline={"robust_accuracy": 0.25}))
    qtbot.waitUntil(lambda: window.runs.model.row("live").share_done == 0.25)
    assert window.runs.model.row("live").result.value == 0.25
    server.event("meters", meters=Meters(time=1, cpu=0.5, memory_used=2e9, memory_total=8e9, disk_free=9e9))
    qtbot.waitUntil(lambda: window.status.meters.text() == "CPU 50 %    Memory 2.0 / 8 GB")


@pytest.mark.parametrize(
    ("key", "page"),
    [(Qt.Key.Key_1, "launch"), (Qt.Key.Key_2, "queue"), (Qt.Key.Key_3, "monitor"), (Qt.Key.Key_4, "compare")],
)
def test_pages_by_key(qtbot: QtBot, window: MainWindow, key: Qt.Key, page: str) -> None:
    window.show_page("help")
    window.activateWindow()
    qtbot.keyClick(window, key, Qt.KeyboardModifier.ControlModifier)
    assert window.page == page
    assert window.actions_table[f"view.{page}"].isChecked()


def test_ticks_and_compare(qtbot: QtBot, window: MainWindow) -> None:
    compared: list[list[str]] = []
    window.compare_page.show_runs = compared.append
    for run_id in ("done", "other"):
        window.runs.select(run_id)
        trigger(window, "run.check")
    assert window.runs._compare.text() == "Compare (2)"
    qtbot.mouseClick(window.runs._compare, Qt.MouseButton.LeftButton)
    assert window.page == "compare" and compared == [["other", "done"]]
    trigger(window, "run.uncheck_all")
    qtbot.waitUntil(lambda: compared[-1] == [])
    window.show_page("queue")
    window.runs.select("done")
    trigger(window, "run.compare")
    assert compared[-1] == ["done"], "with no tick, the current run is meant"


def test_the_tick_box_and_the_space_bar(qtbot: QtBot, window: MainWindow) -> None:
    from difrob_gui.widgets.two_line_delegate import check_rect

    table = window.runs.table
    index = window.runs.model.index(window.runs.model.place_of("done"), 0)
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=check_rect(table.visualRect(index)).center())
    assert window.runs.model.checked_ids() == ["done"]
    table.setCurrentIndex(index)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Space)
    assert window.runs.model.checked_ids() == []


def test_search_narrows_the_table_and_says_so(qtbot: QtBot, window: MainWindow) -> None:
    trigger(window, "view.find_run")
    qtbot.keyClicks(window.runs.search, "beta")
    assert shown(window) == ["done", "other"]
    assert window.runs._count.text() == "2 of 5"
    qtbot.keyClicks(window.runs.search, "zzz")
    assert window.runs._empty.isVisible() and "No run fits" in window.runs._empty.text()
    qtbot.keyClick(window.runs.search, Qt.Key.Key_Escape)
    assert len(shown(window)) == 5


def test_the_current_run_survives_news(qtbot: QtBot, window: MainWindow, fake: FakeWorkspace) -> None:
    window.runs.select("other")
    fake.add(make_summary("newest", created=900.0))
    trigger(window, "file.refresh")
    qtbot.waitUntil(lambda: shown(window)[0] == "newest")
    assert window.runs.current.run_id == "other"
    assert window.runs.table.currentIndex().row() == window.runs.model.place_of("other")


def test_duplicate_with_changes(qtbot: QtBot, window: MainWindow) -> None:
    window.runs.select("done")
    trigger(window, "run.duplicate")
    assert window.page == "launch" and window.launch.kind == "train_classifier"
    assert window.launch.header.name.text() == "beta 5"


def test_start_by_key_submits_and_shows_the_run(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    window.show_page("launch")
    window.launch.choose_kind("train_denoiser")
    window.activateWindow()
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(server.named("submit")) == 1)
    qtbot.waitUntil(lambda: bool(window.toasts.toasts))
    assert window.toasts.toasts[-1].text == "1 run submitted."
    server.event("entry", entry=make_entry("fresh", created=999.0), position=2)
    qtbot.waitUntil(lambda: window.runs.current is not None and window.runs.current.run_id == "fresh")


def test_editing_an_entry_comes_back_to_the_queue(qtbot: QtBot, window: MainWindow, server: FakeSupervisor) -> None:
    window.show_page("queue")
    qtbot.waitUntil(lambda: window.queue.model.rowCount() == 2)
    window.queue.select(["waits"])
    trigger(window, "queue.edit")
    assert window.page == "launch" and window.launch.start_button.text() == "Save"
    window.launch.start()
    qtbot.waitUntil(lambda: window.page == "queue")
    assert server.named("edit")[0]["run_id"] == "waits"


def test_inputs_on_the_launch_page_follow_the_runs(qtbot: QtBot, window: MainWindow, fake: FakeWorkspace) -> None:
    window.show_page("launch")
    window.launch.choose_kind("evaluate")
    picker = window.launch.form.rows["classifier"].editor.picker
    assert option_ids(picker) == ["done", "other"]
    fake.add(make_summary("third", created=999.0))
    trigger(window, "file.refresh")
    qtbot.waitUntil(lambda: option_ids(picker) == ["third", "done", "other"])


def test_the_palette_knows_actions_and_runs(qtbot: QtBot, window: MainWindow) -> None:
    trigger(window, "view.palette")
    qtbot.keyClicks(window.palette_sheet.search, "beta 2")
    assert palette_texts(window.palette_sheet)[0] == "beta 2"
    qtbot.keyClick(window.palette_sheet.search, Qt.Key.Key_Return)
    assert window.page == "monitor" and window.runs.current.run_id == "other"
    trigger(window, "view.palette")
    qtbot.keyClicks(window.palette_sheet.search, "theme dark")
    qtbot.keyClick(window.palette_sheet.search, Qt.Key.Key_Return)
    assert current_theme().name == "dark"
    trigger(window, "view.theme_light")


def test_without_a_supervisor_files_are_shown_and_the_mend_is_offered(
    qtbot: QtBot, make_window: Callable[..., MainWindow]
) -> None:
    window = make_window()
    qtbot.waitUntil(lambda: window.runs.model.total == 3 and window.client.link is Link.FAILED)
    assert window.status.link.text() == "No supervisor is running"
    assert "'difrob serve'" in window.status.link.toolTip()
    assert not window.toasts.toasts  # nothing is wrong


def test_a_supervisor_that_went_away_is_bad_news_with_a_mend(
    qtbot: QtBot, server: FakeSupervisor, make_window: Callable[..., MainWindow]
) -> None:
    window = make_window()
    qtbot.waitUntil(lambda: window.client.link is Link.CONNECTED)
    server.close()
    qtbot.waitUntil(lambda: window.client.link is Link.FAILED)
    assert window.status.link.text() == "Supervisor not reachable"
    assert "'difrob serve'" in window.toasts.toasts[-1].text
    assert window.toasts.toasts[-1].action_button.text() == "Try again"


def test_live_runs_outside_the_queue_are_counted(
    qtbot: QtBot, server: FakeSupervisor, fake: FakeWorkspace, make_window: Callable[..., MainWindow]
) -> None:
    fake.add(make_summary("alone", RunState.RUNNING, created=600.0))
    window = make_window()
    qtbot.waitUntil(lambda: window.status.queue.text() == "2 running, 1 waiting")


def test_an_empty_workspace_says_what_to_do(
    qtbot: QtBot, fake: FakeWorkspace, make_window: Callable[..., MainWindow]
) -> None:
    fake.runs = {}
    window = make_window()
    qtbot.waitUntil(lambda: fake.listings > 0)
    assert window.runs._empty.isVisible()
    assert "Choose a method on the Launch page and press Start" in window.runs._empty.text()


def test_the_session_comes_back(
    qtbot: QtBot, server: FakeSupervisor, make_window: Callable[..., MainWindow], tmp_path: Path
) -> None:
    first = make_window(theme=None)
    qtbot.waitUntil(lambda: first.runs.model.total == 5)
    trigger(first, "view.theme_dark")
    first.resize(1111, 707)
    first.show_page("queue")
    first.runs.model.set_checked_ids(["done", "other"])
    first.runs.select("other")
    trigger(first, "view.runs_panel")
    first.close()
    second = make_window(theme=None)
    assert second.height() == 707  # the width is cut to that of the offscreen platform's small screen
    assert second.page == "queue" and current_theme().name == "dark"
    assert not second.runs.isVisible()
    qtbot.waitUntil(lambda: second.runs.model.checked_ids() == ["other", "done"])
    assert second.runs.current.run_id == "other"
    trigger(second, "view.theme_light")


def test_a_torn_settings_file_does_no_harm(
    qtbot: QtBot, server: FakeSupervisor, make_window: Callable[..., MainWindow], tmp_path: Path
) -> None:
    (tmp_path / "window.ini").write_bytes(
        b"[General]\ngeometry=@Bytes(\x00\xff\ntheme=purple\npage=7\nchecked=@Invalid()\n"
    )
    window = make_window(theme=None)
    qtbot.waitUntil(lambda: window.runs.model.total == 5)
    assert window.page == "launch" and WindowSettings(tmp_path / "window.ini").theme == "system"


def test_an_error_in_a_slot_becomes_a_notice(qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytestqt.exceptions import capture_exceptions

    with capture_exceptions():
        restore = install_excepthook(window.tell_crash)
        try:
            sys.excepthook(ValueError, ValueError("broken slot"), None)
        finally:
            restore()
    assert "ValueError: broken slot" in window.toasts.toasts[-1].text
    assert window.toasts.toasts[-1].tone is Tone.BAD


INTERACTIVE = (
    QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit, QSlider, QTextEdit,
)  # fmt: skip


def test_every_interactive_widget_has_a_name(qtbot: QtBot, window: MainWindow) -> None:
    for make_page in window.pages.values():
        make_page()
    for kind in ("train_denoiser", "generate", "train_classifier", "evaluate", "certify"):
        window.launch.choose_kind(kind)
    nameless = []
    for widget in window.findChildren(QWidget):
        if isinstance(widget, INTERACTIVE) and not _is_part_of_another(widget) and not _named(widget):
            nameless.append(" < ".join(type(part).__name__ for part in _chain(widget)[:4]))
    assert nameless == []


def _chain(widget: QWidget) -> list[QWidget]:
    parts, part = [], widget
    while part is not None:
        parts.append(part)
        part = part.parentWidget()
    return parts


def _is_part_of_another(widget: QWidget) -> bool:
    """Parts that Qt makes: the list of a combo box, the header of a table, the button in a search line."""
    owners = _chain(widget)[1:3]
    whole = any(isinstance(owner, (QComboBox, QLineEdit, QAbstractSpinBox)) for owner in owners)
    return whole or isinstance(widget, QHeaderView) or widget.objectName().startswith("qt_")


def _named(widget: QWidget) -> bool:
    if isinstance(widget, QAbstractButton) and (widget.text() or any(part.isHidden() for part in _chain(widget)[:3])):
        return True  # a button that is put away gets its words when it is shown
    return bool(widget.accessibleName())


@pytest.mark.parametrize("size", [(1000, 650), (1280, 800)])
@pytest.mark.parametrize("page", ["launch", "queue", "help"])
def test_no_word_is_cut_off(qtbot: QtBot, window: MainWindow, size: tuple[int, int], page: str) -> None:
    window.resize(*size)
    window.show_page(page)
    QApplication.sendPostedEvents()
    qtbot.wait(50)
    cut = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or not isinstance(widget, (QLabel, QAbstractButton)):
            continue
        if isinstance(widget.parentWidget(), QLineEdit):
            continue
        if isinstance(widget, QLabel) and (widget.wordWrap() or not widget.text()):
            if widget.wordWrap() and widget.text() and widget.height() + 1 < widget.heightForWidth(widget.width()):
                cut.append((type(widget).__name__, widget.text()))
            continue
        if widget.hasHeightForWidth():
            needed = widget.heightForWidth(widget.width())
            if widget.height() + 1 < needed:
                cut.append((type(widget).__name__, widget.text()))
        elif (
            widget.width() + 1 < widget.minimumSizeHint().width()
            or widget.height() + 1 < widget.minimumSizeHint().height()
        ):
            cut.append((type(widget).__name__, widget.text(), widget.width(), widget.minimumSizeHint().width()))
    assert cut == []


def test_only_allowed_modules_are_imported_and_torch_never() -> None:
    import subprocess

    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "diffusers", "torchvision", "sklearn", "scipy"):
            raise ImportError(f"{name} must not be imported by the window")
sys.meta_path.insert(0, Block())
import difrob_gui.main_window, difrob_gui.app, difrob_gui.screenshots
from difrob_gui.pages import compare, data, help, launch, monitor, queue, studies
allowed = ("difrob.specs", "difrob.runs", "difrob.worker.messages", "difrob.errors", "difrob.resources",
           "difrob.words", "difrob.comparison", "difrob.system", "difrob.signals", "difrob.quantities", "difrob.inputs",
           "difrob.studies")
bad = [m for m in sys.modules if m.startswith("difrob.") and not m.startswith(allowed) and m != "difrob.worker"]
sys.exit(str(bad) if bad else 0)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
