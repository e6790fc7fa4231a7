"""One editor per shape of field. An editor gives and takes plain JSON data and never refuses what is typed."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSizePolicy

from difrob.specs.typed_values import fraction
from difrob.specs.words.field_words import show
from difrob_gui.models.spec_fields import Field, Shape
from difrob_gui.widgets.data_set_editor import DataSetEditor
from difrob_gui.widgets.field_editor import CalmComboBox, FieldEditor
from difrob_gui.widgets.flow_box import FlowBox
from difrob_gui.widgets.list_editor import ListEditor
from difrob_gui.widgets.path_editor import PathEditor
from difrob_gui.widgets.run_picker import RunPicker


class NumberEdit(QLineEdit):
    """A line for a number; the arrow keys count its last digit up and down."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_PageUp: 10, Qt.Key.Key_PageDown: -10}
        step = steps.get(Qt.Key(event.key()))
        if step is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
            return
        try:
            number = Decimal(self.text().strip())
            exponent = number.as_tuple().exponent
            unit = Decimal(1).scaleb(min(0, exponent)) if isinstance(exponent, int) else None
        except InvalidOperation:
            return
        if unit is None:
            return
        result = number + step * unit
        if number > 0 and result <= 0:  # never through zero: go on one digit finer
            unit /= 10
            result = number + step * unit
        if result > 0 or number <= 0:
            self.setText(f"{result:f}")
            self.textEdited.emit(self.text())


class FlagEditor(FieldEditor):
    """On or off."""

    def __init__(self, field: Field) -> None:
        self._box = QCheckBox("On")
        super().__init__(field, self._box)
        self._box.clicked.connect(self.changed)
        self._box.toggled.connect(lambda on: self._box.setText("On" if on else "Off"))
        self._box.setText("Off")

    def value(self) -> Any:
        return self._box.isChecked()

    def set_value(self, value: Any) -> None:
        self._box.setChecked(bool(value))


class ChoiceEditor(FieldEditor):
    """One of a few words; an unknown word of an old run is kept visible until another is chosen."""

    def __init__(self, field: Field) -> None:
        self._box = CalmComboBox()
        super().__init__(field, self._box)
        # Not as wide as its longest word: a row that does not fit would squeeze its label out of the column.
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setMinimumContentsLength(4)
        self._box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if field.optional:
            self._box.addItem(field.empty_means, None)
        for choice in field.choices:
            self._box.addItem(choice.replace("_", " "), choice)
        self._box.activated.connect(self.changed)

    def value(self) -> Any:
        return self._box.currentData()

    def set_value(self, value: Any) -> None:
        place = self._box.findData(value)
        if place < 0:
            self._box.addItem(f"{value} (unknown)", value)
            place = self._box.count() - 1
        self._box.setCurrentIndex(place)


class ChoicesEditor(FieldEditor):
    """Some of a few words, kept in the order of declaration."""

    def __init__(self, field: Field) -> None:
        holder = FlowBox()
        self._boxes: dict[str, QCheckBox] = {}
        for choice in field.choices:
            box = QCheckBox(choice.replace("_", " "))
            box.setAccessibleName(f"{field.label}: {choice.replace('_', ' ')}")
            holder.add(box)
            self._boxes[choice] = box
        super().__init__(field, holder)
        self.setFocusProxy(next(iter(self._boxes.values())))
        for box in self._boxes.values():
            box.clicked.connect(self.changed)

    def value(self) -> Any:
        return [choice for choice, box in self._boxes.items() if box.isChecked()]

    def set_value(self, value: Any) -> None:
        for choice, box in self._boxes.items():
            box.setChecked(choice in (value or ()))


class TextEditor(FieldEditor):
    """Text, a number, or numbers with commas between; empty means None where the field allows it."""

    def __init__(self, field: Field) -> None:
        numeric = field.shape in (Shape.INTEGER, Shape.NUMBER)
        self._line = NumberEdit() if numeric else QLineEdit()
        super().__init__(field, self._line)
        self._line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._line.setMinimumWidth(self._line.fontMetrics().averageCharWidth() * 10)
        if field.empty_means:
            self._line.setPlaceholderText(field.empty_means)
        self._line.textEdited.connect(self.changed)

    def value(self) -> Any:
        text = self._line.text().strip()
        shape = self.field.shape
        if shape in (Shape.INTEGERS, Shape.NUMBERS):
            inner = Shape.INTEGER if shape is Shape.INTEGERS else Shape.NUMBER
            return [_number(part.strip(), inner) for part in text.strip("()[] ").split(",") if part.strip()]
        if not text:
            return None if self.field.optional or shape is not Shape.TEXT else ""
        return text if shape is Shape.TEXT else _number(text, shape)

    def set_value(self, value: Any) -> None:
        text = show(value)
        if text != self._line.text():
            self._line.setText(text)
            self._line.setCursorPosition(0)


class RunEditor(FieldEditor):
    """A run of a fitting kind."""

    def __init__(self, field: Field) -> None:
        self.picker = RunPicker(field.run_kinds, field.optional, field.empty_means)
        super().__init__(field, self.picker)
        self.picker.picked.connect(self.changed)

    def value(self) -> Any:
        return self.picker.run_id or None

    def set_value(self, value: Any) -> None:
        self.picker.set_run_id(value or "")


def make_editor(field: Field) -> FieldEditor:
    """The editor that fits a field."""
    if field.shape is Shape.RUN:
        return RunEditor(field)
    if field.shape is Shape.FLAG:
        return FlagEditor(field)
    if field.shape is Shape.CHOICE:
        return ChoiceEditor(field)
    if field.shape is Shape.CHOICES:
        return ChoicesEditor(field)
    if field.shape is Shape.TEXTS:
        return ListEditor(field)
    if field.shape is Shape.DATA_SET:
        return DataSetEditor(field)
    if field.takes_path:
        return PathEditor(field)
    return TextEditor(field)


def _number(text: str, shape: Shape) -> Any:
    """The number that ``text`` says, or the text itself when it says none."""
    try:
        if shape is Shape.INTEGER:
            number = Decimal(text)
            return int(number) if number.is_finite() and number == number.to_integral_value() else text
        quotient = fraction(text)
        return float(text) if quotient is None else quotient
    except (ValueError, InvalidOperation, OverflowError):
        return text
