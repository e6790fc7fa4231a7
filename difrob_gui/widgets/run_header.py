"""What every run has: name, seed, how many seeds, and the lane it may use."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QLineEdit, QSpinBox, QWidget

from difrob_gui.theme import set_role
from difrob_gui.widgets.field_editor import CalmComboBox
from difrob_gui.widgets.field_editors import NumberEdit
from difrob_gui.widgets.tone_label import ToneLabel

MOST_SEEDS = 100
NARROW_LETTERS = 58


class CalmSpinBox(QSpinBox):
    """A spin box that leaves the mouse wheel to the page it stands on."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class RunHeader(QFrame):
    """A card with the fields that are not part of a method."""

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self.name = QLineEdit(maxLength=80, placeholderText="e.g. beta 2")
        self.seed = NumberEdit("0")
        self.count = CalmSpinBox(minimum=1, maximum=MOST_SEEDS, value=1)
        self.lane = CalmComboBox()
        self.problem = ToneLabel("", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(14, 8, 14, 12)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(2)
        self._narrow: bool | None = None
        self._fields: list[tuple[QLabel, QWidget]] = []
        for text, widget, tip in (
            ("&Name", self.name, "Name of the run in tables and in its file name; may stay empty."),
            ("S&eed", self.seed, "Every random stream of the run follows from it."),
            ("See&ds", self.count, "How many runs to submit, with this seed and the following ones."),
            ("&Lane", self.lane, "The device on which the run may start."),
        ):
            label = QLabel(text)
            label.setBuddy(widget)
            label.setToolTip(tip)
            set_role(label, "caption")
            widget.setToolTip(tip)
            widget.setAccessibleName(text.replace("&", ""))
            widget.setAccessibleDescription(tip)
            widget.setMinimumWidth(widget.fontMetrics().averageCharWidth() * 9)
            self._fields.append((label, widget))
        self.lane.setSizeAdjustPolicy(CalmComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.lane.setMinimumContentsLength(8)
        self._arrange(False)
        self.set_lanes([])
        self.name.textEdited.connect(self.edited)
        self.seed.textEdited.connect(self.edited)
        self.count.valueChanged.connect(self.edited)
        self.lane.activated.connect(self.edited)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(self.width() < NARROW_LETTERS * self.fontMetrics().averageCharWidth())

    def _arrange(self, narrow: bool) -> None:
        """All in one row, or the name above the others where there is little room."""
        if narrow == self._narrow:
            return
        self._narrow = narrow
        for number, (label, widget) in enumerate(self._fields):
            row, column, span = (
                (2, number - 1, 1) if narrow and number else (0, 0 if narrow else number, 3 if narrow else 1)
            )
            self._grid.addWidget(label, row, column, 1, span)
            self._grid.addWidget(widget, row + 1, column, 1, span)
        self._grid.addWidget(self.problem, 4, 0, 1, 4)
        for column, stretch in enumerate((2, 2, 5, 0) if narrow else (6, 2, 2, 5)):
            self._grid.setColumnStretch(column, stretch)

    def fields(self) -> dict[str, Any]:
        """Name and seed as a specification holds them."""
        text = self.seed.text().strip()
        return {"name": self.name.text().strip(), "seed": int(text) if text.isascii() and text.isdigit() else text}

    def set_fields(self, name: str, seed: int, lane: str = "any") -> None:
        """Show name, seed and lane."""
        self.name.setText(name)
        self.seed.setText(str(seed))
        if self.lane.findData(lane) < 0:
            self.lane.addItem(lane_word(lane), lane)
        self.lane.setCurrentIndex(self.lane.findData(lane))

    def set_lanes(self, lanes: list[str]) -> None:
        """Lanes that the supervisor has; the choice stays. All lanes of the CPU are one device to choose."""
        devices = ("cpu" if lane.startswith("cpu") else lane for lane in lanes or ["cpu"])
        wanted = ["any", *dict.fromkeys(lane for lane in devices if lane != "any")]
        chosen = str(self.lane.currentData() or "any")
        if chosen not in wanted:
            wanted.append(chosen)
        if [self.lane.itemData(row) for row in range(self.lane.count())] == wanted:
            return
        self.lane.clear()
        for lane in wanted:
            self.lane.addItem(lane_word(lane), lane)
        self.lane.setCurrentIndex(wanted.index(chosen))

    def set_problem(self, message: str) -> None:
        """What is wrong with name or seed."""
        self.problem.setText(message)
        self.problem.setVisible(bool(message))


def lane_word(lane: str) -> str:
    """How people call a lane, or the lanes of a run on several GPUs, joined by commas."""
    if lane == "any":
        return "Any device"
    if lane.startswith("cpu"):
        return f"CPU {lane.partition('-')[2]}".rstrip()
    if "," in lane:
        return f"GPUs {', '.join(one.partition(':')[2] for one in lane.split(','))}"
    return f"GPU {lane.partition(':')[2] or '0'}" if lane.startswith("cuda") else lane
