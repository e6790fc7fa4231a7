"""The choice among the presets of a method, with what the chosen one is about below it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from difrob.specs import Preset
from difrob_gui.theme import set_role
from difrob_gui.widgets.field_editor import CalmComboBox


class PresetRow(QWidget):
    """Emits ``chosen`` with the :class:`Preset` that a person has picked, or None for the defaults.

    Attributes:
        box: the choice; the first entry stands for the defaults.
        text: the description of what is chosen, hidden where there is none.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = CalmComboBox()
        self.box.setAccessibleName("Preset")
        self.box.setToolTip("Named settings of this method; chosen input runs stay as they are.")
        self.box.activated.connect(self._on_activated)
        label = QLabel("&Preset")
        label.setBuddy(self.box)
        self.text = QLabel(wordWrap=True)
        set_role(self.text, "caption")
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(label)
        row.addWidget(self.box, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addLayout(row)
        column.addWidget(self.text)

    def offer(self, presets: list[Preset]) -> None:
        """Show these; the defaults are chosen, silently."""
        self.box.clear()
        self.box.addItem("Defaults", None)
        for preset in presets:
            self.box.addItem(preset.title, preset)
            self.box.setItemData(self.box.count() - 1, preset.description, Qt.ItemDataRole.ToolTipRole)
        self.box.setEnabled(bool(presets))
        self._describe()

    def forget(self) -> None:
        """Go back to the defaults, silently."""
        self.box.setCurrentIndex(0)
        self._describe()

    def _on_activated(self) -> None:
        self._describe()
        self.chosen.emit(self.box.currentData())

    def _describe(self) -> None:
        preset = self.box.currentData()
        text = preset.description if preset is not None else ""
        self.text.setText(text)
        self.text.setVisible(bool(text))
