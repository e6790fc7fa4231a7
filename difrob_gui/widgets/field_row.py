"""One line of a form: a field with its editor, what was changed, and what is wrong."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from difrob.specs.words.field_words import show
from difrob_gui.models.spec_fields import Field
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.field_editor import FieldEditor
from difrob_gui.widgets.field_editors import make_editor
from difrob_gui.widgets.tone_label import ToneLabel


class FieldRow(QWidget):
    """Label, editor, unit and a button that takes a change back; below them what is wrong."""

    edited = Signal(str)
    focused = Signal(str)

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.baseline: Any = field.default
        self.baseline_name = "the default"
        self.editor: FieldEditor = make_editor(field)
        self.label = ToneLabel(field.label, "text")
        self.label.setToolTip(field.tooltip())
        self.label.setBuddy(self.editor.inner)
        self.label.setWordWrap(True)
        self.unit = QLabel(field.unit)
        self.unit.setWordWrap(True)
        set_role(self.unit, "caption")
        self.reset = QToolButton()
        self.reset.setIcon(icon("undo", "accent"))
        self.reset.setIconSize(QSize(14, 14))
        self.reset.setAccessibleName(f"Reset {field.label}")
        self.reset.clicked.connect(self._take_back)
        policy = self.reset.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(policy)
        self.problem = ToneLabel("", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(10)
        line.addWidget(self.label)
        line.addWidget(self.editor, 1)
        line.addWidget(self.unit)
        line.addWidget(self.reset)
        under = QHBoxLayout()
        under.setContentsMargins(0, 0, 0, 0)
        self._indent = under
        under.addWidget(self.problem, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(line)
        column.addLayout(under)
        self.editor.changed.connect(self._on_changed)
        for widget in (self.editor.inner, *self.editor.inner.findChildren(QWidget)):
            widget.installEventFilter(self)
        self.show_change()

    @property
    def path(self) -> str:
        """Dotted name of the field."""
        return self.field.path

    @property
    def is_changed(self) -> bool:
        """Whether the value differs from where the form started."""
        return self.editor.value() != self.baseline

    def set_columns(self, label: int, unit: int) -> None:
        """Give label and unit the widths that all rows share."""
        self.label.setFixedWidth(label)
        wide = self.field.run_kinds or self.field.takes_path or self.field.takes_paths
        self.unit.setVisible(unit > 0 and not wide)
        self.unit.setFixedWidth(unit)
        self._indent.setContentsMargins(label + 10, 0, 0, 4)

    def set_value(self, value: Any) -> None:
        """Show a value without calling it an edit."""
        self.editor.set_value(value)
        self.show_change()

    def set_problem(self, message: str) -> None:
        """What is wrong with the value; empty when nothing is."""
        text = message[:1].upper() + message[1:]
        if text == self.problem.text():
            return
        self.problem.setText(text)
        self.problem.setVisible(bool(message))
        self.editor.set_invalid(bool(message))

    def show_change(self) -> None:
        """Mark a changed field, and say what the button would do."""
        value = self.editor.value()
        changed = value != self.baseline
        target, name = (self.baseline, self.baseline_name) if changed else (self.field.default, "the default")
        self.label.set_tone("accent" if changed else "text")
        font = self.label.font()
        weight = font.Weight.DemiBold if changed else font.Weight.Normal
        if font.weight() != weight:
            font.setWeight(weight)
            self.label.setFont(font)
        self.reset.setVisible(value != target and not (self.field.required and target is None))
        shown = show(target) or self.field.empty_means or "empty"
        self.reset.setToolTip(f"Back to {name}: {shown}")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.FocusIn:
            self.focused.emit(self.path)
        return False

    def _on_changed(self) -> None:
        self.show_change()
        self.edited.emit(self.path)

    def _take_back(self) -> None:
        self.editor.set_value(self.baseline if self.is_changed else self.field.default)
        self.editor.setFocus()
        self._on_changed()
