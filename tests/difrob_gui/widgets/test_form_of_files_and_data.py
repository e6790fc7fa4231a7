"""Fields of the form that hold lists of paths or name a data set, and groups that are folded until something differs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from difrob.runs.datasets import BUILT_IN, DIGITS, DataSetRecord, SplitRecord
from difrob.specs import KINDS, walk_fields
from difrob.specs.takes import data_set_use
from difrob_gui.models.spec_fields import Shape, fields_of
from difrob_gui.theme import apply_theme
from difrob_gui.themes import THEMES
from difrob_gui.widgets.data_set_editor import DataSetEditor
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.list_editor import ListEditor
from difrob_gui.widgets.spec_form import SpecForm

SETS = [*BUILT_IN.values(), DataSetRecord("mnist", "MNIST", "idx", (1, 28, 28), ["0", "1"],
                                          {"train": SplitRecord([5, 6])}, flips=False, digest="x")]  # fmt: skip

CORRUPTED = DataSetRecord(
    "digits-c", "Digits-C", "corrupted", (1, 8, 8), ["0", "1"],
    {f"fog-{severity}": SplitRecord([5, 6]) for severity in range(1, 6)}, flips=False, digest="y",
)  # fmt: skip


def make_form(qtbot: QtBot, kind: str) -> SpecForm:
    form = SpecForm(KINDS[kind])
    qtbot.addWidget(form)
    form.show()
    return form


def mime_of(*urls: QUrl) -> QMimeData:
    data = QMimeData()
    data.setUrls(list(urls))
    return data


class TestList:
    @pytest.fixture
    def form(self, qtbot: QtBot) -> SpecForm:
        return make_form(qtbot, "import_images")

    @pytest.fixture
    def editor(self, form: SpecForm) -> ListEditor:
        editor = form.rows["paths"].editor
        assert isinstance(editor, ListEditor)
        return editor

    def test_paths_are_told_from_other_texts(self, qtbot: QtBot) -> None:
        paths = next(field for field in fields_of(KINDS["import_images"]) if field.path == "paths")
        assert paths.shape is Shape.TEXTS and paths.takes_paths and paths.limits.startswith("at least 1")
        blocks = next(field for field in fields_of(KINDS["probe_teacher"]) if field.path == "blocks")
        assert blocks.shape is Shape.TEXTS and not blocks.takes_paths
        editor = ListEditor(blocks)
        qtbot.addWidget(editor)
        assert [button.text() for button in editor.buttons] == ["Add", "Remove"]
        assert "empty = all" in editor.line.placeholderText().lower()

    def test_typing_and_removing(self, qtbot: QtBot, form: SpecForm, editor: ListEditor) -> None:
        assert editor.value() is None and not editor.list.isVisible()
        assert form.problems[0].path == "paths" and form.problems[0].message == "must be given"
        first, second = (os.path.abspath(name) for name in ("a.npz", "b, c.npz"))
        for text in ("a.npz", " b, c.npz ", first):
            editor.line.setText(text)
            qtbot.keyClick(editor.line, Qt.Key.Key_Return)
        assert editor.value() == [first, second], "commas belong to names, and nothing is listed twice"
        assert form.validate() and form.spec.paths == (first, second)
        editor.list.item(0).setSelected(True)
        assert editor.remove_button.isEnabled()
        with qtbot.waitSignal(editor.changed):
            qtbot.keyClick(editor.list, Qt.Key.Key_Delete)
        assert editor.value() == [second]
        with qtbot.waitSignal(editor.changed):
            editor.list.item(0).setText("  ")
        assert editor.value() is None and not form.validate()

    def test_what_is_typed_counts_without_return(self, editor: ListEditor) -> None:
        editor.line.setText("typed.npz")
        editor.line.editingFinished.emit()
        assert editor.value() == [os.path.abspath("typed.npz")] and editor.line.text() == ""

    def test_files_are_dropped_onto_it(self, form: SpecForm, editor: ListEditor, tmp_path: Path) -> None:
        data = mime_of(QUrl.fromLocalFile(str(tmp_path / "a b.npz")), QUrl("https://example.org/x.npz"))
        assert dropped_paths(data) == [str(tmp_path / "a b.npz")]
        copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        enter = QDragEnterEvent(QPointF(1, 1).toPoint(), copy, data, left, none)
        enter.ignore()
        editor.inner.dragEnterEvent(enter)
        assert enter.isAccepted()
        editor.inner.dropEvent(QDropEvent(QPointF(1, 1), copy, data, left, none))
        assert editor.value() == [str(tmp_path / "a b.npz")]
        assert form.rows["paths"].is_changed
        text = QMimeData()
        text.setText("no file")
        refused = QDragEnterEvent(QPointF(1, 1).toPoint(), copy, text, left, none)
        refused.ignore()
        editor.inner.dragEnterEvent(refused)
        assert not refused.isAccepted()


class TestDataSet:
    def test_the_fields_are_those_of_the_workspace(self) -> None:
        for kind, spec in KINDS.items():
            uses = {path: data_set_use(info) for path, info in walk_fields(spec)}
            for field in fields_of(spec):
                assert (field.shape is Shape.DATA_SET) == bool(uses[field.path]), (kind, field.path)
                assert field.takes_data_of == uses[field.path]

    def test_points_are_offered_only_where_they_can_be_learnt(self, qtbot: QtBot) -> None:
        offered = {}
        for kind in ("train_denoiser", "train_classifier"):
            form = make_form(qtbot, kind)
            form.set_data_sets(SETS)
            editor = form.rows["data.dataset"].editor
            assert isinstance(editor, DataSetEditor)
            offered[kind] = editor.names()
        assert offered["train_denoiser"] == [record.name for record in SETS]
        assert offered["train_classifier"] == ["digits", "mnist"]

    @pytest.mark.parametrize(
        ("kind", "path"),
        [("train_classifier", "data.dataset"), ("train_denoiser", "data.dataset"), ("import_denoiser", "data.dataset"),
         ("train_denoiser", "corruption.outliers"), ("measure", "dataset")],
    )  # fmt: skip
    def test_corrupted_images_are_not_offered_to_learn_from(self, qtbot: QtBot, kind: str, path: str) -> None:
        form = make_form(qtbot, kind)
        form.set_data_sets([*SETS, CORRUPTED])
        editor = form.rows[path].editor
        assert isinstance(editor, DataSetEditor)
        assert "digits-c" not in editor.names() and {"digits", "mnist"} <= set(editor.names())
        editor.set_value("digits-c")
        assert editor.problem().startswith("“digits-c” holds corrupted test images alone, with nothing to train on")

    def test_corrupted_images_that_are_named_to_learn_from_are_not_submitted(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_classifier")
        form.set_data_sets([*SETS, CORRUPTED])
        form.rows["data.dataset"].set_value("digits-c")
        assert not form.validate() and form.spec is None
        assert [problem.path for problem in form.problems] == ["data.dataset"]
        assert "'corruptions' of an evaluation" in form.problems[0].message

    def test_an_evaluation_is_offered_corrupted_images_alone(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "evaluate")
        with_training = replace(CORRUPTED, name="both", splits={**CORRUPTED.splits, "train": SplitRecord([5, 6])})
        form.set_data_sets([*SETS, CORRUPTED, with_training])
        editor = form.rows["corruptions"].editor
        assert isinstance(editor, DataSetEditor)
        assert editor.names() == ["digits-c", "both"] and editor.problem() == ""
        editor.set_value("digits-c")
        assert editor.problem() == ""
        editor.set_value("digits")
        assert editor.problem().startswith("“digits” has no splits of corruptions in 5 severities")
        form.set_data_sets(SETS)
        editor.set_value("nobody")
        assert editor.problem().endswith("the Data page adds one."), "there is none to be named"

    def test_an_unknown_name_is_told_and_not_submitted(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_classifier")
        row = form.rows["data.dataset"]
        line = row.editor.inner.lineEdit()
        line.selectAll()
        qtbot.keyClicks(line, "mnits")
        assert form.validate(), "while nothing is known of the workspace, nothing is said"
        form.set_data_sets(SETS)
        assert row.editor.value() == "mnits" and form.spec is None
        assert "there is no data set “mnits”" in form.problems[0].message
        assert "Known: digits, mnist" in row.problem.text() and row.problem.isVisible()
        row.set_value("toy-ring")
        assert not form.validate() and "holds points" in form.problems[0].message
        row.set_value("mnist")
        assert form.validate() and form.spec.data.dataset == "mnist"
        line.selectAll()
        qtbot.keyClicks(line, "no/name")
        form.validate()
        assert [problem.path for problem in form.problems] == ["data.dataset"], "one complaint is enough"

    def test_outliers_matter_only_when_there_are_some(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_denoiser")
        form.set_data_sets(SETS)
        form.rows["corruption.outliers"].set_value("nobody")
        assert form.validate(), "hidden"
        form.rows["corruption.kind"].set_value("outliers")
        assert not form.validate() and form.problems[0].path == "corruption.outliers"

    def test_new_data_sets_leave_the_choice_alone(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_classifier")
        form.set_data_sets([DIGITS])
        form.rows["data.dataset"].set_value("mnist")
        form.set_data_sets(SETS)
        assert form.rows["data.dataset"].editor.value() == "mnist" and form.validate()
        assert form.changed_paths() == ["data.dataset"]


class TestFolding:
    def test_groups_that_most_leave_alone_are_folded_with_their_gist(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_denoiser")
        folded = [title for title, section in form.sections.items() if not section.is_open]
        assert folded == ["Corruption", "Regulariser", "Compute", "Memory"] and set(folded) == form.folded
        assert form.sections["Corruption"]._note.text() == "kind: none"
        assert form.sections["Compute"]._note.text() == "precision: float32"
        assert "whole batch" in form.sections["Memory"]._note.text()

    def test_a_group_in_which_something_differs_is_open(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_denoiser")
        form.set_values({"corruption": {"kind": "gaussian"}}, "a run")
        assert form.sections["Corruption"].is_open and not form.sections["Regulariser"].is_open
        assert form.rows["corruption.share"].isVisible()
        form.set_values({}, "the default")
        assert not form.sections["Corruption"].is_open

    def test_a_group_of_advanced_settings_needs_no_second_fold(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, "train_denoiser")
        form.sections["Compute"].set_open(True)
        assert form.rows["compute.precision"].isVisible() and "Compute" not in form._folds

    @pytest.mark.parametrize("width", [380, 470, 620])
    def test_labels_stand_in_one_column_at_any_width(self, qtbot: QtBot, width: int) -> None:
        apply_theme(QApplication.instance(), THEMES["light"])
        for kind in KINDS:
            form = make_form(qtbot, kind)
            form.resize(width, 900)
            QApplication.processEvents()
            rows = [row for row in form.rows.values() if row.isVisible()]
            assert {row.editor.x() for row in rows} == {rows[0].label.width() + 10}, kind
