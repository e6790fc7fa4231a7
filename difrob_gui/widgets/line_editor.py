"""A line to type in with buttons below it, on an area that takes dropped files: what editors of paths have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from difrob_gui.models.spec_fields import Field
from difrob_gui.theme import icon
from difrob_gui.widgets.field_editor import FieldEditor
from difrob_gui.widgets.file_drop import dropped_paths


class LineEditor(FieldEditor):
    """Base of such editors; each one lays itself out with :meth:`put_together`.

    Attributes:
        line: where a path or a text is typed; it is what gets marked when the value is refused.
        buttons: those below the line, from left to right.
    """

    def __init__(self, field: Field) -> None:
        self._area = DropArea(self.take)
        super().__init__(field, self._area)
        self.line = QLineEdit()
        self.line.setAcceptDrops(False)  # a line would take the address of a file for text
        self.buttons: list[QPushButton] = []

    def take(self, paths: list[str]) -> None:
        """Use paths that were dropped or chosen."""
        raise NotImplementedError

    def put_together(self, parts: Sequence[QWidget], buttons: Sequence[QPushButton]) -> None:
        """The parts one below the other, the line among them, and the buttons side by side under them."""
        self.buttons = list(buttons)
        foot = QHBoxLayout()
        foot.setSpacing(6)
        for button in self.buttons:
            foot.addWidget(button)
        foot.addStretch(1)
        column = QVBoxLayout(self._area)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in parts:
            column.addWidget(part)
        column.addLayout(foot)
        self.setFocusProxy(self.line)

    def file_button(self, tip: str, mode: QFileDialog.FileMode) -> QPushButton:
        """A button that lets files be chosen: one or several, as the mode says."""
        return small_button("File …", "log", tip, lambda: self._browse(mode, tip))

    def folder_button(self) -> QPushButton:
        """A button that lets a folder be chosen."""
        tip = "Choose a folder"
        return small_button("Folder …", "folder", tip, lambda: self._browse(QFileDialog.FileMode.Directory, tip))

    def set_invalid(self, invalid: bool) -> None:
        self.line.setProperty("invalid", invalid)
        self.line.style().unpolish(self.line)
        self.line.style().polish(self.line)

    def _browse(self, mode: QFileDialog.FileMode, title: str) -> None:
        dialog = QFileDialog(self.window(), title)
        dialog.setFileMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(self.take)
        dialog.open()


class DropArea(QWidget):
    """Takes files and folders that are dropped anywhere on the editor."""

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._take = take
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = dropped_paths(event.mimeData())
        if paths:
            self._take(paths)
            event.acceptProposedAction()


def small_button(text: str, picture: str, tip: str, act: Callable[[], object]) -> QPushButton:
    """A button with an icon below a field; Return in the field does not press it."""
    button = QPushButton(icon(picture, "text_muted"), text)
    button.setToolTip(tip)
    button.setIconSize(QSize(14, 14))
    button.setAutoDefault(False)
    button.clicked.connect(lambda _checked=False: act())
    return button
