"""Edit one path: type it, browse for a file or a folder, or drop one."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QSizePolicy, QVBoxLayout

from difrob_gui.models.spec_fields import Field
from difrob_gui.widgets.field_editor import FieldEditor
from difrob_gui.widgets.list_editor import DropArea, browse, small_button


class PathEditor(FieldEditor):
    """A line for a path, and buttons to browse; of several things that are dropped the first one counts."""

    def __init__(self, field: Field) -> None:
        holder = DropArea(self._take)
        super().__init__(field, holder)
        self.line = QLineEdit()
        self.line.setAccessibleName(field.label)
        self.line.setToolTip(field.tooltip())
        self.line.setPlaceholderText("Type a path, or drop a file or folder here")
        self.line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.line.setAcceptDrops(False)  # a line would take the address of a file for text
        self.line.textEdited.connect(self.changed)
        self.buttons = [
            small_button("File …", "spec", "Choose a file", self._browse_file),
            small_button("Folder …", "folder", "Choose a folder", self._browse_folder),
        ]
        foot = QHBoxLayout()
        foot.setSpacing(6)
        for button in self.buttons:
            foot.addWidget(button)
        foot.addStretch(1)
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.line)
        column.addLayout(foot)
        self.setFocusProxy(self.line)

    def value(self) -> Any:
        text = self.line.text().strip()
        return text or (None if self.field.required or self.field.optional else "")

    def set_value(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if text != self.line.text():
            self.line.setText(text)

    def set_invalid(self, invalid: bool) -> None:
        self.line.setProperty("invalid", invalid)
        self.line.style().unpolish(self.line)
        self.line.style().polish(self.line)

    def _take(self, paths: list[str]) -> None:
        if paths and paths[0] != self.line.text():
            self.line.setText(paths[0])
            self.changed.emit()

    def _browse_file(self) -> None:
        self._browse(QFileDialog.FileMode.ExistingFile, "Choose a file")

    def _browse_folder(self) -> None:
        self._browse(QFileDialog.FileMode.Directory, "Choose a folder")

    def _browse(self, mode: QFileDialog.FileMode, title: str) -> None:
        browse(self, mode, title, self._take)
