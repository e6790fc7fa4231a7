"""The log of a run: filtered by level and text, following its end until the reader scrolls up."""

from __future__ import annotations

import time

from PySide6.QtGui import QColor, QFont, QFontDatabase, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from difrob.runs import LogLine
from difrob.words import plural
from difrob_gui.theme import current_theme, icon, set_role, theme_signals
from difrob_gui.widgets.search_line import SearchLine

MOST_SHOWN = 5000
_RANK = {"info": 0, "warning": 1, "error": 2}
_CHOICES = (("All levels", 0), ("Warnings and errors", 1), ("Errors", 2))


class LogView(QWidget):
    """Lines of a log. The newest 5,000 that pass the filters are shown; all of them are searched.

    The log of an ended run that wrote nothing is one line that says so: what it has no use for goes to its neighbours.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[LogLine] = []
        self._matching = 0
        self._below = 0
        self.levels = QComboBox()
        for text, rank in _CHOICES:
            self.levels.addItem(text, rank)
        self.levels.setAccessibleName("Level of log lines")
        self.levels.setToolTip("Show only lines of at least this level")
        self.nothing = QLabel("This run wrote no lines.")
        set_role(self.nothing, "caption")
        self.nothing.hide()
        self.search = SearchLine("Filter log …", "Show only lines that contain this text")
        self.count = QLabel()
        set_role(self.count, "caption")
        self.follow = QPushButton(icon("move-down"), "Follow")
        set_role(self.follow, "quiet")
        self.follow.setToolTip("Jump to the newest line and stay there")
        self.follow.hide()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST_SHOWN)
        self.text.setAccessibleName("Log")
        self.text.setPlaceholderText("No lines yet. A run tells here what it does, and why it ended.")
        self.text.setUndoRedoEnabled(False)
        mono = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        mono.setPointSizeF(max(8.0, 0.92 * self.font().pointSizeF()))
        mono.setStyleHint(QFont.StyleHint.Monospace)
        self.text.setFont(mono)
        self.text.setMinimumHeight(3 * self.fontMetrics().height())

        bar = QHBoxLayout()
        bar.setSpacing(8)
        heading = QLabel("Log")
        set_role(heading, "heading")
        bar.addWidget(heading)
        bar.addSpacing(4)
        bar.addWidget(self.levels)
        bar.addWidget(self.search, 1)
        bar.addWidget(self.nothing, 1)
        bar.addWidget(self.count)
        bar.addWidget(self.follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(bar)
        layout.addWidget(self.text, 1)

        self.levels.currentIndexChanged.connect(self._refill)
        self.search.textChanged.connect(self._refill)
        self.follow.clicked.connect(self.go_to_end)
        self.text.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        theme_signals.changed.connect(self._refill)
        self._count()

    @property
    def is_following(self) -> bool:
        """Whether the newest line is in view, so that further ones scroll in."""
        bar = self.text.verticalScrollBar()
        return bar.value() >= bar.maximum()

    @property
    def is_quiet(self) -> bool:
        """Whether it is but the line that says that there are no lines."""
        return not self.nothing.isHidden()

    def set_ended(self, ended: bool) -> None:
        """Whether no more lines are to come than were appended; says so of an empty log."""
        quiet = ended and not self._lines
        if quiet == self.is_quiet:
            return
        self.nothing.setVisible(quiet)
        for widget in (self.levels, self.search, self.text):
            widget.setVisible(not quiet)
        upright = QSizePolicy.Policy.Fixed if quiet else QSizePolicy.Policy.Preferred
        self.setSizePolicy(QSizePolicy.Policy.Preferred, upright)

    def clear(self) -> None:
        """Forget all lines."""
        self._lines = []
        self._refill()

    def append(self, lines: list[LogLine]) -> None:
        """Add lines at the end."""
        if not lines:
            return
        self._lines.extend(lines)
        matching = [line for line in lines if self._passes(line)]
        self._matching += len(matching)
        self._write(matching)
        self._count()

    def go_to_end(self) -> None:
        """Show the newest line and follow again."""
        bar = self.text.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _passes(self, line: LogLine) -> bool:
        needle = self.search.text().strip().lower()
        return _RANK.get(line.level, 0) >= self.levels.currentData() and needle in line.text.lower()

    def _refill(self, _what: object = None) -> None:
        matching = [line for line in self._lines if self._passes(line)]
        self._matching = len(matching)
        self._below = 0
        self.text.clear()
        self._write(matching[-MOST_SHOWN:])
        self.go_to_end()
        self._count()

    def _write(self, lines: list[LogLine]) -> None:
        if not lines:
            return
        follows = self.is_following
        bar = self.text.verticalScrollBar()
        before = bar.value()
        cursor = QTextCursor(self.text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        empty = self.text.document().isEmpty()
        for line in lines:
            if not empty:
                cursor.insertBlock()
            empty = False
            clock = time.strftime("%H:%M:%S", time.localtime(line.time))
            cursor.insertText(f"{clock}  ", _format(current_theme().text_muted))
            if line.level in ("warning", "error"):
                tone = current_theme().warning if line.level == "warning" else current_theme().bad
                cursor.insertText(f"{line.level}  ", _format(tone, bold=True))
            cursor.insertText(line.text, _format(current_theme().text))
        cursor.endEditBlock()
        if follows:
            self.go_to_end()
            self._below = 0
        else:
            bar.setValue(before)
            self._below += len(lines)
        self._show_follow()

    def _on_scrolled(self) -> None:
        if self.is_following:
            self._below = 0
        self._show_follow()

    def _show_follow(self) -> None:
        self.follow.setVisible(not self.is_following)
        self.follow.setText(f"{plural(self._below, 'new line')}" if self._below else "Follow")

    def _count(self) -> None:
        total = len(self._lines)
        if self._matching == total:
            self.count.setText(plural(total, "line") if total else "")
        else:
            self.count.setText(f"{self._matching:,} of {plural(total, 'line')}")
        self.count.setVisible(total > 0)


def _format(colour: str, *, bold: bool = False) -> QTextCharFormat:
    result = QTextCharFormat()
    result.setForeground(QColor(colour))
    if bold:
        result.setFontWeight(QFont.Weight.DemiBold)
    return result
