"""Edit a list of texts, mostly paths: type, browse, or drop files and folders onto it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QFileDialog, QListWidget, QListWidgetItem, QSizePolicy

from difrob_gui.models.spec_fields import Field
from difrob_gui.widgets.file_drop import full_path
from difrob_gui.widgets.line_editor import LineEditor, small_button

_LEAST_ROWS, _MOST_ROWS = 1, 5


class ListEditor(LineEditor):
    """A list whose rows can be edited in place, a line for the next one, and buttons to browse and remove."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        noun = "path" if field.takes_paths else "text"
        self.list = _Rows(self._remove)
        self.list.setAccessibleName(field.label)
        self.list.setToolTip(field.tooltip())
        self.line.setAccessibleName(f"Next {noun} of {field.label.lower()}")
        hint = "Type a path, or drop files here" if field.takes_paths else "type one, press Return"
        told = f"{field.empty_means}; {hint}" if field.empty_means and not field.required else hint
        self.line.setPlaceholderText(told[:1].upper() + told[1:])
        self.list.setAcceptDrops(False)  # as the line: what is dropped is for the whole editor
        add = small_button("Add", "add", f"Add the typed {noun} (Return)", self.take_typed)
        self.remove_button = small_button(
            "Remove", "remove", "Take the chosen ones out of the list (Del)", self._remove
        )
        choosers = []
        if field.takes_paths:
            choosers = [self.file_button("Choose files", QFileDialog.FileMode.ExistingFiles), self.folder_button()]
        self.put_together([self.list, self.line], [add, *choosers, self.remove_button])
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

    def take(self, paths: list[str]) -> None:
        self.add(paths)

    def take_typed(self) -> None:
        """Put what stands in the line into the list."""
        text = self.line.text().strip()
        if text:
            self.line.clear()
            self.add([full_path(text) if self.field.takes_paths else text])

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

    def __init__(self, remove: Callable[[], None]) -> None:
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
