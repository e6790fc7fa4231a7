"""Find any action, page or run by a few letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QEvent, QModelIndex, QObject, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QIcon, QKeyEvent, QPainter
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QListView, QStyle, QStyledItemDelegate, QVBoxLayout, QWidget
from PySide6.QtWidgets import QStyleOptionViewItem as Option

from difrob_gui.models.row_sync import Index
from difrob_gui.theme import current_theme, set_role

CommandRole = Qt.ItemDataRole.UserRole + 1
MOST = 60


@dataclass(frozen=True)
class Command:
    """One line of the palette. ``words`` are searched too, but not shown."""

    text: str
    section: str
    run: Callable[[], object]
    keys: str = ""
    icon: QIcon | None = None
    words: str = ""
    enabled: bool = True


def match(query: str, text: str, words: str = "") -> tuple[float, tuple[int, ...]] | None:
    """How well ``query`` fits: ``(score, places of the letters in text)``, higher is better; None when it does not.

    Every word of the query must be found: as the beginning of a word, inside the text, in ``words``, or at least letter
    by letter in order.
    """
    lower, extra = text.lower(), words.lower()
    score, places = 0.0, set[int]()
    for part in query.lower().split():
        found = _match_part(part, lower, extra)
        if found is None:
            return None
        score += found[0]
        places.update(found[1])
    return score - 0.01 * len(text), tuple(sorted(places))


def _match_part(part: str, lower: str, extra: str) -> tuple[float, tuple[int, ...]] | None:
    place = lower.find(part)
    while place > 0 and lower[place - 1].isalnum():
        following = lower.find(part, place + 1)
        if following < 0:
            break
        place = following
    if place >= 0:
        begins_word = place == 0 or not lower[place - 1].isalnum()
        return (3.0 if place == 0 else 2.5 if begins_word else 2.0), tuple(range(place, place + len(part)))
    if any(word.startswith(part) for word in extra.split()):
        return 1.5, ()
    places, start = [], 0
    for letter in part:
        place = lower.find(letter, start)
        if place < 0:
            return None
        places.append(place)
        start = place + 1
    starts = sum(place == 0 or not lower[place - 1].isalnum() for place in places)
    spread = places[-1] - places[0] + 1
    return 0.5 * starts / len(part) + 0.5 * len(part) / spread, tuple(places)


class _Commands(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.commands: list[Command] = []
        self._shown: list[tuple[Command, tuple[int, ...]]] = []

    def search(self, query: str) -> None:
        found = []
        for place, command in enumerate(self.commands):
            hit = match(query, command.text, f"{command.section} {command.words}")
            if hit is not None:
                found.append(
                    (-hit[0] - (0.2 if command.enabled else 0.0) if query.strip() else 0.0, place, command, hit[1])
                )
        found.sort(key=lambda item: item[:2])
        self.beginResetModel()
        self._shown = [(command, places) for _, _, command, places in found[:MOST]]
        self.endResetModel()

    def command(self, row: int) -> Command | None:
        return self._shown[row][0] if 0 <= row < len(self._shown) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        command, places = self._shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return command.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{command.section}: {command.text}" + (f", {command.keys}" if command.keys else "")
        if role == CommandRole:
            return command, places
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        command = self.command(index.row())
        usable = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return usable if command is not None and command.enabled else Qt.ItemFlag.NoItemFlags


class _CommandDelegate(QStyledItemDelegate):
    """Icon, text with the matching letters in bold, section and keys at the right."""

    def sizeHint(self, option: Option, index: Index) -> QSize:
        return QSize(200, QFontMetrics(option.font).height() + 16)

    def paint(self, painter: QPainter, option: Option, index: Index) -> None:
        self.initStyleOption(option, index)
        command, places = index.data(CommandRole)
        option.text = ""
        if option.widget is not None:
            option.widget.style().drawPrimitive(
                QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget
            )
        theme = current_theme()
        painter.save()
        area = option.rect.adjusted(12, 0, -12, 0)
        metrics = QFontMetrics(option.font)
        if command.icon is not None and not command.icon.isNull():
            mode = QIcon.Mode.Normal if command.enabled else QIcon.Mode.Disabled
            command.icon.paint(painter, QRect(area.left(), area.center().y() - 8, 17, 17), mode=mode)
        area.setLeft(area.left() + 28)
        faint = QColor(theme.mix(theme.text_muted, theme.background, 0.4))
        painter.setFont(option.font)
        painter.setPen(QColor(theme.text_muted) if command.enabled else faint)
        right = command.keys or command.section
        painter.drawText(area, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, right)
        area.setRight(area.right() - metrics.horizontalAdvance(right) - 12)
        bold = QFont(option.font)
        bold.setWeight(QFont.Weight.Bold)
        marked = set(places)
        text = metrics.elidedText(command.text, Qt.TextElideMode.ElideRight, area.width())
        place = area.left()
        for number, letter in enumerate(text):
            font = bold if number in marked else option.font
            painter.setFont(font)
            painter.setPen(QColor(theme.accent if number in marked else theme.text) if command.enabled else faint)
            painter.drawText(
                QRect(place, area.top(), area.width(), area.height()), Qt.AlignmentFlag.AlignVCenter, letter
            )
            place += QFontMetrics(font).horizontalAdvance(letter)
        painter.restore()


class CommandPalette(QFrame):
    """A sheet over the upper middle of its host: type, arrow keys, Return; Escape closes it."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        set_role(self, "card")
        self.setAccessibleName("Command palette")
        self._return_to: QWidget | None = None
        self._search = QLineEdit(placeholderText="Type a command or the name of a run …", clearButtonEnabled=True)
        self._search.setAccessibleName("Search commands and runs")
        self._model = _Commands(self)
        self._list = QListView()
        self._list.setAccessibleName("Matching commands")
        self._list.setModel(self._model)
        self._list.setItemDelegate(_CommandDelegate(self._list))
        self._list.setUniformItemSizes(True)
        self._list.setFrameShape(QFrame.Shape.NoFrame)
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._nothing = QLabel("Nothing fits. Fewer letters find more.", alignment=Qt.AlignmentFlag.AlignCenter)
        set_role(self._nothing, "muted")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        column.addWidget(self._search)
        column.addWidget(self._list, 1)
        column.addWidget(self._nothing, 1)
        self._search.textChanged.connect(self._filter)
        self._search.installEventFilter(self)
        self._list.clicked.connect(lambda index: self._run(index.row()))
        self.hide()

    @property
    def search(self) -> QLineEdit:
        """Where the query is typed."""
        return self._search

    def open(self, commands: list[Command]) -> None:
        """Show the palette with these commands."""
        host = self._host
        self._return_to = host.window().focusWidget()
        self._model.commands = commands
        self._search.clear()
        self._filter("")
        width, height = min(620, host.width() - 48), min(440, host.height() - 80)
        self.setGeometry((host.width() - width) // 2, 40, width, height)
        self.show()
        self.raise_()
        self._search.setFocus()

    def close_palette(self) -> None:
        """Hide it and give the focus back."""
        self.hide()
        if self._return_to is not None:
            self._return_to.setFocus()
        self._return_to = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is not self._search:
            return False
        if (
            event.type() == QEvent.Type.FocusOut
            and self.isVisible()
            and not self.isAncestorOf(self.window().focusWidget())
        ):
            self.hide()
        if event.type() != QEvent.Type.KeyPress or not isinstance(event, QKeyEvent):
            return False
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 8, Qt.Key.Key_PageUp: -8}
        if event.key() in steps:
            self._step(steps[Qt.Key(event.key())])
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._run(self._list.currentIndex().row())
            return True
        if event.key() == Qt.Key.Key_Escape:
            self.close_palette()
            return True
        return False

    def _filter(self, query: str) -> None:
        self._model.search(query)
        empty = self._model.rowCount() == 0
        self._list.setVisible(not empty)
        self._nothing.setVisible(empty)
        self._list.setCurrentIndex(QModelIndex())
        self._step(1)

    def _step(self, step: int) -> None:
        """Go to the next usable line in the direction of ``step``."""
        count = self._model.rowCount()
        start = self._list.currentIndex().row()
        row = min(count - 1, max(0, start + step)) if start >= 0 else 0
        direction = 1 if step > 0 else -1
        while 0 <= row < count:
            command = self._model.command(row)
            if command is not None and command.enabled:
                self._list.setCurrentIndex(self._model.index(row, 0))
                return
            row += direction

    def _run(self, row: int) -> None:
        command = self._model.command(row)
        if command is None or not command.enabled:
            return
        self.close_palette()
        command.run()
