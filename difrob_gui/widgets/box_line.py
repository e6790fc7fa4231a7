"""The parts that only editable boxes have; Qt has none for other boxes, so its types allow None."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QCompleter, QLineEdit


def line_of(box: QComboBox) -> QLineEdit:
    """The line in which a box that was made editable is typed into."""
    line = box.lineEdit()
    assert line is not None, "the box was not made editable"
    return line


def completer_of(box: QComboBox) -> QCompleter:
    """What completes the typed in a box that was made editable."""
    completer = box.completer()
    assert completer is not None, "the box was not made editable"
    return completer
