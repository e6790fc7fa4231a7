"""The form: what is typed is what is submitted, problems stand at their fields, changes are marked and taken back."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLineEdit
from pytestqt.qtbot import QtBot
from support.shown_choices import option_ids

from difrob.runs import RunState
from difrob.specs import KINDS, list_presets, parse_spec
from difrob_gui.models.spec_fields import Shape, fields_of, nest
from difrob_gui.widgets.field_editors import NumberEdit, make_editor
from difrob_gui.widgets.run_picker import RunOption, RunPicker
from difrob_gui.widgets.spec_form import SpecForm

OPTIONS = [
    RunOption("den", "train_denoiser", "edm", RunState.FINISHED, 10.0, "0.12"),
    RunOption("gen", "generate", "digits 5k", RunState.RUNNING, 20.0),
    RunOption("cls", "train_classifier", "trades", RunState.QUEUED, 30.0),
    RunOption("old", "train_classifier", "broken", RunState.FAILED, 5.0),
]


@pytest.fixture
def form(qtbot: QtBot) -> SpecForm:
    form = SpecForm(KINDS["train_classifier"])
    qtbot.addWidget(form)
    form.set_run_options(OPTIONS)
    form.resize(600, 900)
    form.show()
    return form


def type_into(qtbot: QtBot, form: SpecForm, path: str, text: str) -> None:
    line = form.rows[path].editor.inner
    assert isinstance(line, QLineEdit)
    line.selectAll()
    qtbot.keyClicks(line, text) if text else qtbot.keyClick(line, Qt.Key.Key_Delete)


def choose(form: SpecForm, path: str, data: Any) -> None:
    box = form.rows[path].editor.inner
    assert isinstance(box, QComboBox)
    place = box.findData(data)
    assert place >= 0
    box.setCurrentIndex(place)
    box.activated.emit(place)


def required_values(kind: str) -> dict[str, Any]:
    required = [field for field in fields_of(KINDS[kind]) if field.required]
    return {field.path: ["a.npz"] if field.shape is Shape.TEXTS else "run" for field in required}


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_untouched_form_gives_the_defaults(qtbot: QtBot, kind: str) -> None:
    form = SpecForm(KINDS[kind])
    qtbot.addWidget(form)
    required = required_values(kind)
    assert form.validate() == (not required)
    form.set_values(nest(required), "the test")
    assert form.spec == parse_spec({"kind": kind, **nest(required)})
    assert form.changed_paths() == []


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_every_preset_fills_the_form(qtbot: QtBot, preset: Any) -> None:
    form = SpecForm(KINDS[preset.kind])
    qtbot.addWidget(form)
    required = required_values(preset.kind)
    expected = {"kind": preset.kind, **preset.spec, **nest(required)}
    if "alignment" in preset.spec:  # whose teacher a person chooses
        teacher = preset.spec["alignment"]["teacher"]
        required = {**required, "alignment.teacher": teacher, f"alignment.{teacher}": "run"}
        expected["alignment"] = {**preset.spec["alignment"], teacher: "run"}
    form.set_values(nest(required), "x")
    form.set_header(**{key: preset.spec[key] for key in ("name", "seed") if key in preset.spec})
    form.apply_preset(preset.spec, "the preset")
    assert form.problems == []
    assert form.spec == parse_spec(expected)


def test_typing_is_checked_and_told_at_the_field(qtbot: QtBot, form: SpecForm) -> None:
    with qtbot.waitSignal(form.validated):
        type_into(qtbot, form, "beta", "many")
    row = form.rows["beta"]
    assert row.problem.text() == "Must be a number"
    assert row.problem.isVisible()
    assert row.editor.inner.property("invalid")
    assert form.spec is None
    with qtbot.waitSignal(form.validated):
        type_into(qtbot, form, "beta", "2.5")
    assert not row.problem.isVisible()
    assert form.spec is not None and form.spec.beta == 2.5
    assert form.changed_paths() == ["beta"]


def test_changes_are_marked_and_taken_back(qtbot: QtBot, form: SpecForm) -> None:
    row = form.rows["steps"]
    assert not row.reset.isVisible()
    type_into(qtbot, form, "steps", "900")
    assert row.reset.isVisible()
    assert row.reset.toolTip() == "Back to the default: 600"
    with qtbot.waitSignal(form.validated):
        qtbot.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    assert form.spec.steps == 600
    assert not row.reset.isVisible()


def test_from_another_run_both_its_value_and_the_default_can_come_back(qtbot: QtBot, form: SpecForm) -> None:
    form.set_values({"kind": "train_classifier", "steps": 900, "seed": 3}, "the value of “x”")
    row = form.rows["steps"]
    assert form.changed_paths() == []
    assert row.reset.isVisible() and row.reset.toolTip() == "Back to the default: 600"
    type_into(qtbot, form, "steps", "7")
    assert row.reset.toolTip() == "Back to the value of “x”: 900"
    qtbot.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    assert row.editor.value() == 900
    qtbot.mouseClick(row.reset, Qt.MouseButton.LeftButton)
    assert row.editor.value() == 600


def test_fields_that_do_not_matter_are_hidden_and_at_their_default(qtbot: QtBot, form: SpecForm) -> None:
    type_into(qtbot, form, "beta", "nonsense")
    choose(form, "objective", "gaussian")
    assert not form.rows["beta"].isVisible()
    assert form.rows["noise_sigma"].isVisible()
    assert form.validate(), "a hidden field cannot be wrong"
    assert form.spec.beta == 5.0 and form.spec.objective == "gaussian"
    choose(form, "objective", "trades")
    assert form.rows["beta"].isVisible()
    assert not form.validate()


def test_advanced_fields_are_folded_until_asked_for_or_changed(qtbot: QtBot, form: SpecForm) -> None:
    row = form.rows["momentum"]
    assert not row.isVisible()
    fold = form._folds["Optimiser"]
    folded = sum(
        field.advanced and form._matters(field.path)
        for field in fields_of(KINDS["train_classifier"])
        if field.group == "Optimiser"
    )
    assert fold.text() == f"Show {folded} advanced settings"
    qtbot.mouseClick(fold, Qt.MouseButton.LeftButton)
    assert row.isVisible() and fold.text() == f"Hide {folded} advanced settings"
    type_into(qtbot, form, "momentum", "0.5")
    qtbot.mouseClick(fold, Qt.MouseButton.LeftButton)
    assert row.isVisible(), "a changed setting is never hidden"
    assert not form.rows["weight_decay"].isVisible()


def test_groups_fold(qtbot: QtBot, form: SpecForm) -> None:
    section = form.sections["Optimiser"]
    qtbot.mouseClick(section._button, Qt.MouseButton.LeftButton)
    assert not section.is_open and not form.rows["steps"].isVisible()
    form.rows["steps"].set_value("wrong")
    form.validate()
    form.focus_problem()
    assert section.is_open, "a group with a problem opens when one is led to it"


def test_empty_means_none_for_optional_fields_only(qtbot: QtBot, form: SpecForm) -> None:
    type_into(qtbot, form, "data.train_size", "200")
    form.validate()
    assert form.spec.data.train_size == 200
    type_into(qtbot, form, "data.train_size", "")
    assert form.validate() and form.spec.data.train_size is None
    assert form.rows["data.train_size"].editor.inner.placeholderText() == "empty = all"
    type_into(qtbot, form, "steps", "")
    assert not form.validate()
    assert form.rows["steps"].problem.text() == "Must be given"


def test_numbers_with_commas(qtbot: QtBot, form: SpecForm) -> None:
    type_into(qtbot, form, "network.channels", "(8, 16,32 ,)")
    assert form.validate()
    assert form.spec.network.channels == (8, 16, 32)
    type_into(qtbot, form, "network.channels", "8, -1")
    assert not form.validate()
    assert "each must be positive" in form.rows["network.channels"].problem.text()


def test_numbers_may_be_fractions(qtbot: QtBot, form: SpecForm) -> None:
    type_into(qtbot, form, "attack.eps", "8/255")
    assert form.validate() and form.spec.attack.eps == 8 / 255
    assert form.rows["attack.eps"].editor.inner.text() == "8/255", "what was typed stays as it is"
    type_into(qtbot, form, "attack.eps", "8/0")
    assert not form.validate() and form.rows["attack.eps"].problem.text() == "Must be a number"


def test_a_required_run_is_asked_for_only_when_it_is_time(qtbot: QtBot) -> None:
    form = SpecForm(KINDS["evaluate"])
    qtbot.addWidget(form)
    form.show()
    assert not form.rows["classifier"].problem.isVisible()
    assert [problem.path for problem in form.problems] == ["classifier"]
    form.focus_problem()
    assert form.rows["classifier"].problem.text() == "Must be given"


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_editor_gives_back_what_it_shows(qtbot: QtBot, kind: str) -> None:
    for field in fields_of(KINDS[kind]):
        editor = make_editor(field)
        qtbot.addWidget(editor)
        editor.set_value(field.default)
        assert editor.value() == field.default, field.path
        assert editor.inner.accessibleName() == field.label
        examples = {
            Shape.INTEGER: [7, 2**31 - 1], Shape.NUMBER: [0.1, 5e-7, 1e6], Shape.NUMBERS: [[0.1, 2.5]],
            Shape.INTEGERS: [[8], [8, 16]], Shape.FLAG: [True, False], Shape.RUN: ["some-run"],
            Shape.TEXTS: [["a"], ["a", "b c, d"]], Shape.DATA_SET: ["digits", "nobody-knows-it"],
            Shape.CHOICE: list(field.choices), Shape.CHOICES: [[], [field.choices[0]] if field.choices else []],
        }.get(field.shape, ["text"])  # fmt: skip
        for value in examples:
            editor.set_value(value)
            assert editor.value() == value, field.path


def test_an_unknown_choice_of_an_old_run_stays_visible(qtbot: QtBot, form: SpecForm) -> None:
    form.set_values({"objective": "magic"}, "an old run")
    assert form.rows["objective"].editor.value() == "magic"
    assert "must be 'trades'" in form.problems[0].message


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("5", Qt.Key.Key_Up, "6"), ("0.15", Qt.Key.Key_Down, "0.14"), ("0.1", Qt.Key.Key_Down, "0.09"),
        ("10", Qt.Key.Key_PageUp, "20"), ("0", Qt.Key.Key_Down, "-1"), ("5e-4", Qt.Key.Key_Up, "0.0006"),
        ("abc", Qt.Key.Key_Up, "abc"), ("", Qt.Key.Key_Up, ""), ("nan", Qt.Key.Key_Up, "nan"),
    ],
)  # fmt: skip
def test_arrow_keys_count(qtbot: QtBot, text: str, key: Qt.Key, expected: str) -> None:
    line = NumberEdit(text)
    qtbot.addWidget(line)
    qtbot.keyClick(line, key)
    assert line.text() == expected


class TestRunPicker:
    @pytest.fixture
    def picker(self, qtbot: QtBot) -> RunPicker:
        picker = RunPicker(("train_classifier", "generate"), optional=True, empty_means="empty = none")
        qtbot.addWidget(picker)
        picker.set_options(OPTIONS)
        picker.show()
        return picker

    def test_only_fitting_runs_that_can_be_read_or_waited_for(self, picker: RunPicker) -> None:
        assert option_ids(picker) == ["cls", "gen"]
        assert picker.run_id == ""
        assert picker.lineEdit().placeholderText() == "empty = none"
        assert "will be waited for" in picker.itemText(1)

    def test_typing_finds_a_run(self, qtbot: QtBot, picker: RunPicker) -> None:
        qtbot.keyClicks(picker.lineEdit(), "digits")
        with qtbot.waitSignal(picker.picked):
            picker.lineEdit().editingFinished.emit()
        assert picker.run_id == "gen"

    def test_nonsense_is_taken_back(self, qtbot: QtBot, picker: RunPicker) -> None:
        picker.set_run_id("cls")
        picker.lineEdit().selectAll()
        qtbot.keyClicks(picker.lineEdit(), "no such run")
        picker.lineEdit().editingFinished.emit()
        assert picker.run_id == "cls"
        assert picker.currentData() == "cls"

    def test_the_choice_survives_news_and_even_a_missing_run(self, picker: RunPicker) -> None:
        picker.set_run_id("gen")
        picker.set_options([option for option in OPTIONS if option.run_id != "cls"])
        assert picker.run_id == "gen" and picker.currentData() == "gen"
        picker.set_options([])
        assert picker.run_id == "gen"
        assert "not in this workspace" in picker.currentText()

    def test_a_chosen_run_that_failed_says_so(self, picker: RunPicker) -> None:
        picker.set_run_id("old")
        assert picker.chosen is not None and not picker.chosen.usable
        assert "failed" in picker.currentText()
