"""Edit a list of texts, mostly paths: type, browse, or drop files and folders onto it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from difrob_gui.models.spec_fields import Field
from difrob_gui.theme import icon
from difrob_gui.widgets.field_editor import FieldEditor
from difrob_gui.widgets.file_drop import dropped_paths

_LEAST_ROWS, _MOST_ROWS = 1, 5


class ListEditor(FieldEditor):
    """A list whose rows can be edited in place, a line for the next one, and buttons to browse and remove."""

    def __init__(self, field: Field) -> None:
        holder = DropArea(self._drop)
        super().__init__(field, holder)
        noun = "path" if field.takes_paths else "text"
        self.list = _Rows(self._remove)
        self.list.setAccessibleName(field.label)
        self.list.setToolTip(field.tooltip())
        self.line = QLineEdit()
        self.line.setAccessibleName(f"Next {noun} of {field.label.lower()}")
        hint = "Type a path, or drop files here" if field.takes_paths else "type one, press Return"
        told = f"{field.empty_means}; {hint}" if field.empty_means and not field.required else hint
        self.line.setPlaceholderText(told[:1].upper() + told[1:])
        for child in (self.list, self.line):
            child.setAcceptDrops(False)  # a line would take the address of a file for text
        add = small_button("Add", "add", f"Add the typed {noun} (Return)", self.take_typed)
        self.remove_button = small_button(
            "Remove", "remove", "Take the chosen ones out of the list (Del)", self._remove
        )
        self.buttons = [add, self.remove_button]
        if field.takes_paths:
            choosers = [
                small_button("File …", "spec", "Choose files", self._browse_files),
                small_button("Folder …", "folder", "Choose a folder", self._browse_folder),
            ]
            self.buttons[1:1] = choosers
        foot = QHBoxLayout()
        foot.setSpacing(6)
        for button in self.buttons:
            foot.addWidget(button)
        foot.addStretch(1)
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.list)
        column.addWidget(self.line)
        column.addLayout(foot)
        self.setFocusProxy(self.line)
        self.line.returnPressed.connect(self.take_typed)
        self.line.editingFinished.connect(self.take_typed)
        self.list.itemChanged.connect(self._on_item_changed)
        self.list.itemSelectionChanged.connect(self._fit)
        self._fit()

    def value(self) -> Any:
        texts = self.texts()
        return None if not texts and self.field.required else texts

    def set_value(self, value: Any) -> None:
        wanted = [value] if isinstance(value, str) else [str(item) for item in value or ()]
        if wanted != self.texts():
            self.list.blockSignals(True)
            self.list.clear()
            for text in wanted:
                self._append(text)
            self.list.blockSignals(False)
            self._fit()

    def set_invalid(self, invalid: bool) -> None:
        self.line.setProperty("invalid", invalid)
        self.line.style().unpolish(self.line)
        self.line.style().polish(self.line)

    def texts(self) -> list[str]:
        """The rows."""
        return [self.list.item(row).text() for row in range(self.list.count())]

    def add(self, texts: list[str]) -> None:
        """Put further rows at the end; what is in the list already is not put there twice."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self.texts()]
        if new:
            self.list.blockSignals(True)
            for text in new:
                self._append(text)
            self.list.blockSignals(False)
            self._fit()
            self.list.scrollToBottom()
            self.changed.emit()

    def take_typed(self) -> None:
        """Put what stands in the line into the list."""
        text = self.line.text().strip()
        if text:
            self.line.clear()
            self.add([text])

    def _append(self, text: str) -> None:
        item = QListWidgetItem(text)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        item.setToolTip(f"{text}\nDouble click or F2 edits it.")
        self.list.addItem(item)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        text = item.text().strip()
        if not text:
            self.list.takeItem(self.list.row(item))
            self._fit()
        self.changed.emit()

    def _remove(self) -> None:
        chosen = sorted((self.list.row(item) for item in self.list.selectedItems()), reverse=True)
        for row in chosen:
            self.list.takeItem(row)
        self._fit()
        if chosen:
            self.changed.emit()

    def _drop(self, paths: list[str]) -> None:
        self.add(paths)

    def _browse_files(self) -> None:
        self._browse(QFileDialog.FileMode.ExistingFiles, "Choose files")

    def _browse_folder(self) -> None:
        self._browse(QFileDialog.FileMode.Directory, "Choose a folder")

    def _browse(self, mode: QFileDialog.FileMode, title: str) -> None:
        browse(self, mode, title, self.add)

    def _fit(self) -> None:
        """As high as its rows, within limits; nothing is shown of an empty list."""
        count = self.list.count()
        self.list.setVisible(count > 0)
        self.remove_button.setVisible(count > 0)
        self.remove_button.setEnabled(bool(self.list.selectedItems()))
        row = self.list.sizeHintForRow(0) if count else 0
        rows = min(max(count, _LEAST_ROWS), _MOST_ROWS)
        self.list.setFixedHeight(rows * max(row, self.fontMetrics().height() + 8) + 2 * self.list.frameWidth() + 4)


class _Rows(QListWidget):
    """Rows of text; Delete takes the chosen ones out."""

    def __init__(self, remove: Any) -> None:
        super().__init__()
        self._remove = remove
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(160, super().sizeHint().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self._remove()
            return
        super().keyPressEvent(event)


class DropArea(QWidget):
    """Takes files and folders that are dropped anywhere on the editor."""

    def __init__(self, take: Any) -> None:
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


def browse(parent: QWidget, mode: QFileDialog.FileMode, title: str, take: Callable[[list[str]], None]) -> None:
    """Open a dialog for files or folders; ``take`` gets the paths that are chosen."""
    dialog = QFileDialog(parent.window(), title)
    dialog.setFileMode(mode)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.filesSelected.connect(take)
    dialog.open()


def small_button(text: str, picture: str, tip: str, act: Any) -> QPushButton:
    """A button with an icon below a field; Return in the field does not press it."""
    button = QPushButton(icon(picture, "text_muted"), text)
    button.setToolTip(tip)
    button.setIconSize(QSize(14, 14))
    button.setAutoDefault(False)
    button.clicked.connect(lambda _checked=False: act())
    return button
