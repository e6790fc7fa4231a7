"""What can be chosen in a list on show."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QListView

from difrob_gui.widgets.command_palette import CommandPalette


def palette_texts(palette: CommandPalette) -> list[str]:
    """Texts of the lines of a command palette, best first."""
    model = palette.findChild(QListView).model()
    return [str(model.index(row, 0).data()) for row in range(model.rowCount())]


def option_ids(picker: QComboBox) -> list[str]:
    """Ids of the runs that can be chosen, as listed."""
    return [str(picker.itemData(row)) for row in range(picker.count()) if picker.itemData(row)]


def choose(box: QComboBox, data: object) -> None:
    """Choose the line of a box that stands for ``data``, as a person does."""
    place = box.findData(data)
    assert place >= 0, f"there is no {data!r}"
    box.setCurrentIndex(place)
    box.activated.emit(place)
