"""The Data and Studies pages inside the window: keys, drops, the form they fill, and a bar that fits any width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot

from difrob.runs.datasets import BUILT_IN
from difrob_gui.main_window import MainWindow
from difrob_gui.models.data_set_fields import field_for
from difrob_gui.widgets.nav_bar import PAGES

ICON, BESIDE = Qt.ToolButtonStyle.ToolButtonIconOnly, Qt.ToolButtonStyle.ToolButtonTextBesideIcon


def test_both_pages_are_read_and_their_actions_follow(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.more.shelf.is_read, timeout=30_000)
    assert window.actions_table.unbound() == []
    window.actions_table["view.data"].trigger()
    assert window.page == "data" and window.more.data.current == "digits"
    assert window.actions_table["data.use"].isEnabled() and not window.actions_table["data.remove"].isEnabled()
    window.actions_table["view.studies"].trigger()
    assert window.page == "studies"
    qtbot.waitUntil(lambda: window.more.studies.shelf.is_read, timeout=30_000)
    assert window.actions_table["study.run"].isEnabled()
    assert not window.actions_table["study.continue"].isEnabled()


def test_a_data_set_is_filled_into_a_form_that_takes_it(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.more.shelf.is_read, timeout=30_000)
    window.launch.choose_kind("train_classifier")
    window.more.use_wanted.emit("digits")
    assert window.page == "launch" and window.launch.kind == "train_classifier"
    window.more.use_wanted.emit("toy-ring")
    assert window.launch.kind == "train_denoiser", "only a diffusion model learns from points"
    assert window.launch.form.rows["data.dataset"].editor.value() == "toy-ring"
    window.launch.choose_kind("evaluate")
    window.more.use_wanted.emit("digits")
    assert window.launch.form.changed_paths() == [] and window.launch.kind == "train_denoiser"
    assert window.launch.form.validate()


def test_a_data_set_that_is_not_read_yet_is_filled_in_by_its_name(qtbot: QtBot, window: MainWindow) -> None:
    """The notice of one that was just added offers it before the data sets were read again."""
    window.launch.choose_kind("train_classifier")
    window.more.use_wanted.emit("just-added")
    assert window.page == "launch" and window.launch.kind == "train_classifier"
    assert window.launch.form.rows["data.dataset"].editor.value() == "just-added"


def test_the_chosen_form_is_preferred_where_it_takes_the_set() -> None:
    digits = BUILT_IN["digits"]
    assert field_for(digits, "measure") == ("measure", "dataset")
    assert field_for(digits, "certify") == field_for(None, "certify") == ("train_denoiser", "data.dataset")
    assert field_for(BUILT_IN["toy-ring"], "train_classifier") == ("train_denoiser", "data.dataset")


def test_corrupted_images_are_filled_into_an_evaluation(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.more.shelf.is_read, timeout=30_000)
    digits = window.more.shelf.get("digits")
    assert digits is not None and not digits.is_corrupted
    test = digits.splits["test"]
    splits = {f"fog-{severity}": test for severity in range(1, 6)}
    window.more.shelf.records.append(replace(digits, name="digits-c", splits=splits))
    window.more.shelf.changed.emit()
    window.launch.choose_kind("train_classifier")
    window.more.use_wanted.emit("digits-c")
    assert window.page == "launch" and window.launch.kind == "evaluate"
    assert window.launch.form.rows["corruptions"].editor.value() == "digits-c"
    assert window.launch.form.changed_paths() == ["corruptions"]


def test_files_may_be_dropped_anywhere(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    window.show_page("queue")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    window.dropEvent(
        QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                   Qt.KeyboardModifier.NoModifier)
    )  # fmt: skip
    assert window.page == "data" and window.more.data.form.path.text() == str(tmp_path)


def test_the_bar_of_pages_gives_way_to_icons(qtbot: QtBot, window: MainWindow) -> None:
    window.show_page("data")
    window.nav.resize(1200, window.nav.height())
    assert all(window.nav._buttons[page].toolButtonStyle() is BESIDE for page in PAGES)
    window.nav.resize(420, window.nav.height())
    styles = {page: window.nav._buttons[page].toolButtonStyle() for page in PAGES}
    assert styles["view.data"] is BESIDE and styles["view.launch"] is ICON
    window.show_page("launch")
    assert window.nav._buttons["view.launch"].toolButtonStyle() is BESIDE
    assert window.nav.minimumSizeHint().width() <= 420


def test_runs_of_a_study_are_ticked_and_compared(qtbot: QtBot, window: MainWindow) -> None:
    window.more.compare_wanted.emit(["done", "other"])
    assert window.page == "compare" and set(window.runs.model.checked_ids()) == {"done", "other"}
    qtbot.waitUntil(lambda: set(window.compare_page.runs.run_ids) == {"done", "other"})
