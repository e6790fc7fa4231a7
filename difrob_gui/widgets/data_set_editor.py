"""Choose a data set by name: those of the workspace and the built-in ones that fit, or any name that is typed."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QComboBox, QCompleter, QSizePolicy

from difrob.runs.datasets import DataSetRecord
from difrob_gui.models.data_words import counts_text, size_text
from difrob_gui.models.spec_fields import Field
from difrob_gui.widgets.box_line import completer_of, line_of
from difrob_gui.widgets.field_editor import CalmComboBox, FieldEditor

_NAMED = 12  # so many known names fit into a message


class DataSetEditor(FieldEditor):
    """An editable list of data sets. A name that is not in it may be typed, and is told to be unknown."""

    def __init__(self, field: Field) -> None:
        self._box = CalmComboBox(editable=True)
        super().__init__(field, self._box)
        self._known: dict[str, DataSetRecord] = {}
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setMinimumContentsLength(4)
        line = line_of(self._box)
        line.setAccessibleName(field.label)
        line.setAccessibleDescription(field.help)
        line.setPlaceholderText((field.empty_means if field.optional else "") or "Name of a data set")
        completer = completer_of(self._box)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        line.textEdited.connect(self.changed)
        self._box.activated.connect(self._on_activated)

    def value(self) -> Any:
        name = self._box.currentText().strip()
        return None if not name and (self.field.required or self.field.optional) else name

    def set_value(self, value: Any) -> None:
        with QSignalBlocker(self._box):
            self._box.setCurrentIndex(self._box.findData(value or ""))
            self._box.setEditText(str(value or ""))
            line_of(self._box).setCursorPosition(0)

    def set_data_sets(self, records: list[DataSetRecord]) -> None:
        """The data sets there are, of which those that fit are offered; what was chosen or typed stays."""
        if self._box.view().isVisible():
            return  # never pull the list away under somebody who is choosing; the next change comes soon
        value = self.value()
        self._known = {record.name: record for record in records}
        with QSignalBlocker(self._box):
            self._box.clear()
            for record in records:
                if not self._unfit(record):
                    self._box.addItem(record.name, record.name)
                    about = f"{record.title}\n{counts_text(record)}, {size_text(record)}"
                    self._box.setItemData(self._box.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        self.set_value(value)

    def names(self) -> list[str]:
        """The names that can be chosen, as listed."""
        return [self._box.itemText(row) for row in range(self._box.count())]

    def problem(self) -> str:
        """Why the name cannot be used in this workspace; empty when it can, or while nothing is known of the workspace."""
        name = self.value()
        if not name or not self._known:
            return ""
        record = self._known.get(name)
        if record is None:
            names = self.names()
            more = " …" if len(names) > _NAMED else ""
            known = f" Known: {', '.join(names[:_NAMED])}{more}" if names else ""
            return f"there is no data set “{name}” in this workspace; the Data page adds one.{known}"
        reason = self._unfit(record)
        return f"“{name}” {reason}" if reason else ""

    def _unfit(self, record: DataSetRecord) -> str:
        """Why the field cannot take a data set; empty when it can."""
        use = self.field.takes_data_of
        return record.unfit_for(use) if use is not None else ""

    def _on_activated(self, row: int) -> None:
        self._box.setEditText(self._box.itemText(row))
        self.changed.emit()
