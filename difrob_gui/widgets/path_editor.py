"""Edit one path: type it, browse for a file or a folder, or drop one."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QFileDialog, QSizePolicy

from difrob_gui.models.spec_fields import Field
from difrob_gui.widgets.file_drop import full_path
from difrob_gui.widgets.line_editor import LineEditor


class PathEditor(LineEditor):
    """A line for a path, and buttons to browse; of several things that are dropped the first one counts."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self.line.setAccessibleName(field.label)
        self.line.setToolTip(field.tooltip())
        self.line.setPlaceholderText("Type a path, or drop a file or folder here")
        self.line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.line.textEdited.connect(self.changed)
        self.line.editingFinished.connect(self._write_in_full)
        file_button = self.file_button("Choose a file", QFileDialog.FileMode.ExistingFile)
        self.put_together([self.line], [file_button, self.folder_button()])

    def value(self) -> Any:
        text = self.line.text().strip()
        return text or (None if self.field.required or self.field.optional else "")

    def set_value(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if text != self.line.text():
            self.line.setText(text)

    def _write_in_full(self) -> None:
        """The worker that reads the path may stand in another folder than this window."""
        text = self.line.text().strip()
        self.take([full_path(text)] if text else [])

    def take(self, paths: list[str]) -> None:
        if paths and paths[0] != self.line.text():
            self.line.setText(paths[0])
            self.changed.emit()
