"""The form of a job kind, made from its specification alone."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from difrob import words
from difrob.runs.datasets import DataSetRecord
from difrob.specs import JobSpec, kind_of
from difrob.specs.base import folded_groups
from difrob.specs.words.field_words import show
from difrob_gui.models.spec_fields import (
    MISSING,
    Field,
    Problem,
    check,
    fields_of,
    flatten,
    groups_of,
    judged_part,
    nest,
)
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.data_set_editor import DataSetEditor
from difrob_gui.widgets.field_editors import RunEditor
from difrob_gui.widgets.field_row import FieldRow
from difrob_gui.widgets.run_picker import RunOption
from difrob_gui.widgets.section import Section

CHECK_MS = 120
LEAST_LETTERS = 36
NARROW_LETTERS = 64


class SpecForm(QWidget):
    """All fields of one job kind in folding groups.

    ``validated`` comes shortly after each edit; :attr:`problems` says what is wrong and :attr:`spec` holds the specification
    when nothing is.
    """

    validated = Signal()
    field_focused = Signal(str)

    def __init__(self, spec_class: type[JobSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spec_class = spec_class
        self.kind = kind_of(spec_class)
        self.folded = folded_groups(spec_class)
        self.spec: JobSpec | None = None
        self.valid: JobSpec | None = None  # also where its inputs are known not to fit
        self._misfits: tuple[dict[str, Any], list[Problem]] = ({}, [])
        self.problems: list[Problem] = []
        self._header: dict[str, Any] = {}
        self._touched: set[str] = set()
        self._strict = False
        self.rows: dict[str, FieldRow] = {}
        self.sections: dict[str, Section] = {}
        self._folds: dict[str, QPushButton] = {}
        self._columns = (0, 0)
        self._clock = QTimer(self, singleShot=True, interval=CHECK_MS)
        self._clock.timeout.connect(self.validate)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        for group, fields in groups_of(fields_of(spec_class)).items():
            column.addWidget(self._section(group, fields))
        column.addStretch(1)
        self._align()
        self.set_values({}, "the default")

    # ------------------------------------------------------------------ values

    def values(self) -> dict[str, Any]:
        """The specification as plain nested data; a field that does not matter now keeps its default."""
        flat: dict[str, Any] = {}
        for path, row in self.rows.items():
            value = row.editor.value() if self._matters(path) else row.field.default
            if value is None and row.field.required:
                continue
            flat[path] = value
        return {"kind": self.kind, **nest(flat), **self._header}

    def set_header(self, **values: Any) -> None:
        """Fields that are edited outside the form (name, seed)."""
        self._header = values
        self._clock.start()

    def set_values(self, values: dict[str, Any], source: str) -> None:
        """Start from ``values`` (nested; what they leave out is at its default). ``source`` names them in hints."""
        given = flatten(values, self.spec_class)
        self._touched.clear()
        self._strict = False
        for path, row in self.rows.items():
            row.baseline = given.get(path, row.field.default)
            row.baseline_name = source if path in given else "the default"
            row.set_value(row.baseline)
        self._fold_groups()
        self._show_fields()
        self.validate()

    def apply_preset(self, values: dict[str, Any], source: str) -> None:
        """Like :meth:`set_values`, but runs that were chosen stay chosen."""
        kept = {path: row.editor.value() for path, row in self.rows.items() if row.field.run_kinds}
        self.set_values(values, source)
        for path, run_id in kept.items():
            if run_id:
                self.rows[path].set_value(run_id)
        self._show_fields()
        self.validate()

    def changed_paths(self) -> list[str]:
        """Fields that matter and differ from where the form started."""
        return [path for path, row in self.rows.items() if row.is_changed and self._matters(path)]

    def set_run_options(self, options: list[RunOption]) -> None:
        """The runs that can be chosen as inputs."""
        for row in self.rows.values():
            if isinstance(row.editor, RunEditor):
                row.editor.picker.set_options(options)

    def set_data_sets(self, records: list[DataSetRecord]) -> None:
        """The data sets of the workspace, built-in ones included."""
        editors = [row.editor for row in self.rows.values() if isinstance(row.editor, DataSetEditor)]
        for editor in editors:
            editor.set_data_sets(records)
        if editors:
            self.validate()

    def chosen_inputs(self) -> list[RunOption]:
        """What is known of the chosen input runs."""
        pickers = [row.editor.picker for row in self.rows.values() if isinstance(row.editor, RunEditor)]
        return [picker.chosen for picker in pickers if picker.chosen is not None]

    # ------------------------------------------------------------------ checking

    def validate(self) -> bool:
        """Check everything now; True when it can be submitted."""
        self._clock.stop()
        self.spec, self.problems = check(self.values())
        self.problems += self._unknown_data_sets()
        self.valid = None if self.problems else self.spec
        if self.valid is not None and judged_part(self.valid) == self._misfits[0]:
            self.problems = list(self._misfits[1])
        if self.problems:
            self.spec = None
        messages: dict[str, list[str]] = {}
        for problem in self.problems:
            if self._strict or problem.message != MISSING or problem.path in self._touched:
                messages.setdefault(problem.path, []).append(problem.message)
        for path, row in self.rows.items():
            row.set_problem("; ".join(messages.get(path, [])))
        self._note_groups(messages)
        self.validated.emit()
        return self.spec is not None

    def set_misfits(self, spec: JobSpec, problems: list[Problem]) -> None:
        """What is wrong with the inputs of a specification; told as long as the form holds it, whatever name and seed."""
        self._misfits = (judged_part(spec), problems)
        self.validate()

    def focus_problem(self) -> None:
        """Go to the first field that is wrong, unfolding its group."""
        self._strict = True
        self.validate()
        for problem in self.problems:
            row = self.rows.get(problem.path)
            if row is not None:
                self.sections[row.field.group].set_open(True)
                row.editor.setFocus()
                return

    def focus_first(self) -> None:
        """Go to the first field."""
        if self.rows:
            next(iter(self.rows.values())).editor.setFocus()

    # ------------------------------------------------------------------ inside

    def _unknown_data_sets(self) -> list[Problem]:
        """Names that the specification allows and the workspace does not know."""
        named = {problem.path for problem in self.problems}
        return [
            Problem(path, message)
            for path, row in self.rows.items()
            if isinstance(row.editor, DataSetEditor) and self._matters(path) and path not in named
            if (message := row.editor.problem())
        ]

    def _section(self, group: str, fields: list[Field]) -> Section:
        section = Section(group)
        section.toggled.connect(self._clock.start)  # the note beside the heading
        self.sections[group] = section
        plain = [field for field in fields if not field.advanced]
        advanced = [field for field in fields if field.advanced]
        if not plain or (group in self.folded and len(advanced) <= 2):
            plain, advanced = fields, []  # the group itself is the fold
        for field in [*plain, *advanced]:
            row = FieldRow(field)
            row.edited.connect(self._on_edited)
            row.focused.connect(self.field_focused)
            self.rows[field.path] = row
        for field in plain:
            section.body.addWidget(self.rows[field.path])
        if advanced:
            fold = QPushButton()
            fold.setCheckable(True)
            set_role(fold, "quiet")
            fold.setStyleSheet("QPushButton { padding-left: 0; }")
            fold.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            fold.setAccessibleName(f"Advanced settings of {group}")
            fold.toggled.connect(self._show_fields)
            section.body.addWidget(fold, 0, Qt.AlignmentFlag.AlignLeft)
            self._folds[group] = fold
            for field in advanced:
                section.body.addWidget(self.rows[field.path])
        return section

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._align()

    def minimumSizeHint(self) -> QSize:
        """Rows give way before the page scrolls sideways."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), LEAST_LETTERS * self.fontMetrics().averageCharWidth()), hint.height())

    def _align(self) -> None:
        """One width for all labels and one for all units, whatever the font; less where there is little room."""
        metrics = self.fontMetrics()
        labels = max((metrics.horizontalAdvance(row.field.label) for row in self.rows.values()), default=0)
        units = max((metrics.horizontalAdvance(row.field.unit) for row in self.rows.values()), default=0)
        letter = metrics.averageCharWidth()
        label = min(round(labels * 1.12) + 4, letter * 24, round(0.34 * self.width()))
        unit = min(units, round(0.18 * self.width())) if self.width() > NARROW_LETTERS * letter else 0
        if (label, unit) != self._columns:
            self._columns = (label, unit)
            for row in self.rows.values():
                row.set_columns(label, unit)

    def _on_edited(self, path: str) -> None:
        self._touched.add(path)
        self._show_fields()
        self._clock.start()

    def _matters(self, path: str) -> bool:
        for sibling, wanted in self.rows[path].field.shown_when.items():
            row = self.rows.get(sibling)
            if row is not None and (row.editor.value() not in wanted or not self._matters(sibling)):
                return False
        return True

    def _show_fields(self, _checked: bool = False) -> None:
        for group, section in self.sections.items():
            rows = self._rows_of(group)
            fold = self._folds.get(group)
            folded = 0
            for row in rows:
                matters = self._matters(row.path)
                hidden = row.field.advanced and fold is not None and not fold.isChecked()
                wanted = matters and (not hidden or row.is_changed or bool(row.problem.text()))
                row.setVisible(wanted)
                folded += row.field.advanced and matters and not (wanted and hidden)
            if fold is not None:
                fold.setVisible(folded > 0)
                fold.setText(f"{'Hide' if fold.isChecked() else 'Show'} {words.plural(folded, 'advanced setting')}")
                fold.setIcon(icon("chevron-up" if fold.isChecked() else "chevron-down", "text_muted"))
            section.setVisible(any(self._matters(row.path) for row in rows))

    def _fold_groups(self) -> None:
        """Fold what most runs leave alone, unless something in it is not as most runs have it."""
        for group in self.folded:
            rows = self._rows_of(group)
            self.sections[group].set_open(any(row.editor.value() != row.field.default for row in rows))

    def _rows_of(self, group: str) -> list[FieldRow]:
        return [row for row in self.rows.values() if (row.field.group or "General") == group]

    def _gist(self, group: str) -> str:
        """The first setting of a folded group, which mostly says whether the group does anything at all."""
        row = self._rows_of(group)[0]
        value = row.editor.value()
        said = show(value) or row.field.empty_means.removeprefix("empty = ") or "not set"
        return f"{row.field.label.lower()}: {said.replace('_', ' ')}"

    def _note_groups(self, messages: dict[str, list[str]]) -> None:
        for group, section in self.sections.items():
            paths = [row.path for row in self._rows_of(group)]
            wrong = sum(path in messages for path in paths)
            changed = sum(self.rows[path].is_changed and self._matters(path) for path in paths)
            notes = [f"{wrong} to mend" if wrong else "", f"{changed} changed" if changed else ""]
            gist = self._gist(group) if group in self.folded and not section.is_open else ""
            section.set_note(" · ".join(note for note in (*notes, gist) if note))
        if messages:
            self._show_fields()
