"""The field of the form that holds one path: typing, browsing, dropping, and what is still missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from difrob.runs.datasets import BUILT_IN
from difrob.specs import KINDS
from difrob_gui.models.spec_fields import fields_of
from difrob_gui.widgets.path_editor import PathEditor
from difrob_gui.widgets.spec_form import SpecForm


@pytest.fixture
def form(qtbot: QtBot) -> SpecForm:
    form = SpecForm(KINDS["import_denoiser"])
    qtbot.addWidget(form)
    form.show()
    form.set_data_sets(list(BUILT_IN.values()))
    return form


@pytest.fixture
def editor(form: SpecForm) -> PathEditor:
    editor = form.rows["path"].editor
    assert isinstance(editor, PathEditor)
    return editor


def test_only_paths_have_it() -> None:
    found = {(kind, field.path) for kind, spec in KINDS.items() for field in fields_of(spec) if field.takes_path}
    assert found == {("import_denoiser", "path"), ("measure", "inception_path")}


def test_what_is_typed_is_the_path(qtbot: QtBot, form: SpecForm, editor: PathEditor) -> None:
    assert not form.validate()
    assert {(problem.path, problem.message) for problem in form.problems} >= {("path", "must be given")}
    assert editor.line.accessibleName() == "Path"
    qtbot.keyClicks(editor.line, "/models/edm model.pkl")
    form.rows["data.dataset"].set_value("digits")
    assert form.validate() and form.spec.path == "/models/edm model.pkl" and form.spec.data.dataset == "digits"
    assert form.rows["path"].is_changed
    editor.line.clear()
    assert editor.value() is None and not form.validate()


def test_a_path_that_was_typed_is_written_in_full(
    qtbot: QtBot, form: SpecForm, editor: PathEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for typed, full in (("models/um", str(tmp_path / "models" / "um")), ("~/um", "/home/me/um"), ("/um", "/um")):
        editor.line.clear()
        qtbot.keyClicks(editor.line, typed)
        editor.line.editingFinished.emit()
        assert editor.value() == full
    editor.line.clear()
    editor.line.editingFinished.emit()
    assert editor.value() is None


def test_a_path_has_room_and_an_optional_data_set_says_what_nothing_means(qtbot: QtBot, form: SpecForm) -> None:
    assert not form.rows["path"].unit.isVisibleTo(form)
    evaluation = SpecForm(KINDS["evaluate"])
    qtbot.addWidget(evaluation)
    corruptions = evaluation.rows["corruptions"].editor.inner
    assert corruptions.lineEdit().placeholderText() == "empty = none"
    assert form.rows["data.dataset"].editor.inner.lineEdit().placeholderText() == "Name of a data set"


def test_the_data_set_must_be_named(qtbot: QtBot, form: SpecForm, editor: PathEditor) -> None:
    qtbot.keyClicks(editor.line, "model.pkl")
    assert form.rows["data.dataset"].editor.value() is None
    assert not form.validate() and [problem.path for problem in form.problems] == ["data.dataset"]


def test_a_dropped_folder_takes_the_place_of_what_stood_there(
    form: SpecForm, editor: PathEditor, tmp_path: Path
) -> None:
    editor.set_value("before.pkl")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path)), QUrl.fromLocalFile(str(tmp_path / "second"))])
    drop = QDropEvent(
        QPointF(1, 1), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    editor.inner.dropEvent(drop)
    assert editor.value() == str(tmp_path) and form.rows["path"].is_changed


def test_browsing_gives_a_file_or_a_folder(qtbot: QtBot, editor: PathEditor, tmp_path: Path) -> None:
    modes = (QFileDialog.FileMode.ExistingFile, QFileDialog.FileMode.Directory)
    for button, mode in zip(editor.buttons, modes, strict=True):
        button.click()
        dialog = editor.window().findChildren(QFileDialog)[-1]
        assert dialog.fileMode() == mode
        with qtbot.waitSignal(editor.changed):
            dialog.filesSelected.emit([str(tmp_path / mode.name)])
        dialog.close()
        assert editor.value() == str(tmp_path / mode.name)
