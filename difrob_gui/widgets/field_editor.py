"""What all editors of a form have in common, and a combo box that does not catch the wheel of its page."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from difrob_gui.models.spec_fields import Field


class CalmComboBox(QComboBox):
    """A combo box that leaves the mouse wheel to the page it stands on."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class FieldEditor(QWidget):
    """Base of all editors: ``changed`` after each edit by the user, ``value``, ``set_value``, ``set_invalid``."""

    changed = Signal()

    def __init__(self, field: Field, inner: QWidget) -> None:
        super().__init__()
        self.field = field
        self.inner = inner
        inner.setAccessibleName(field.label)
        inner.setAccessibleDescription(field.help)
        inner.setToolTip(field.tooltip())
        self.setFocusProxy(inner)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(inner)

    def value(self) -> Any:
        """What stands in the editor as plain data; text that is no number is given as it is."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value; does not emit :attr:`changed`."""
        raise NotImplementedError

    def set_invalid(self, invalid: bool) -> None:
        """Mark the editor as holding a value that is refused."""
        if bool(self.inner.property("invalid")) == invalid:
            return
        self.inner.setProperty("invalid", invalid)
        self.inner.style().unpolish(self.inner)
        self.inner.style().polish(self.inner)
