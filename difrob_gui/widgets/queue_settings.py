"""The settings of the queue, at its foot: what follows a failure, runs on the CPU at once, patience with stuck runs."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, QSize, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QWidget

from difrob.worker.messages import QueueState
from difrob_gui.theme import set_role
from difrob_gui.widgets.field_editor import CalmComboBox
from difrob_gui.widgets.run_header import CalmSpinBox

POLICIES = {
    "skip_dependants": "go on without what depends on it",
    "stop": "pause the queue",
    "go_on": "go on with everything",
}
MOST_CPU_LANES = 64
MOST_MINUTES = 7 * 24 * 60
SETTLE_MS = 400
GAP = 14


class MinutesSpinBox(QDoubleSpinBox):
    """A span in minutes; 0 stands for never."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(0, MOST_MINUTES)
        self.setDecimals(2)
        self.setSingleStep(5)
        self.setSuffix(" min")
        self.setSpecialValueText("never")

    @property
    def minutes(self) -> float | None:
        """The span; None for never."""
        return self.value() or None

    def textFromValue(self, value: float) -> str:
        return f"{value:.2f}".rstrip("0").rstrip(".")

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class QueueSettings(QWidget):
    """Shows what the supervisor has; a change is announced once it has settled, and only the supervisor's word stays."""

    policy_wanted = Signal(str)
    cpu_lanes_wanted = Signal(int)
    stuck_minutes_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.policy = CalmComboBox()
        for policy, text in POLICIES.items():
            self.policy.addItem(text, policy)
        self.cpu_lanes = CalmSpinBox(minimum=1, maximum=MOST_CPU_LANES)
        self.stuck = MinutesSpinBox()
        for box in (self.cpu_lanes, self.stuck):
            box.setKeyboardTracking(False)
        self._lanes_clock = self._settling(lambda: self.cpu_lanes_wanted.emit(self.cpu_lanes.value()))
        self._stuck_clock = self._settling(lambda: self.stuck_minutes_wanted.emit(self.stuck.minutes))
        self._fields: list[tuple[QLabel, QWidget]] = []
        for text, widget, tip in (
            ("&When a run fails", self.policy, "What the queue does after a run has failed."),
            ("&CPU runs at once", self.cpu_lanes, "How many runs may use the CPU at the same time. Each takes one thread, "
             "so more than the machine has cores only slows all of them."),
            ("&Stop a stuck run after", self.stuck, "A run that does not report when it said it would counts as stuck. "
             "After so many minutes it is stopped; at 0 it never is, and only marked."),
        ):  # fmt: skip
            label = QLabel(text)
            set_role(label, "muted")
            label.setBuddy(widget)
            label.setToolTip(tip)
            widget.setToolTip(tip)
            widget.setAccessibleName(text.replace("&", ""))
            widget.setAccessibleDescription(tip)
            self._fields.append((label, widget))
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(6)
        self._grid.setSizeConstraint(QGridLayout.SizeConstraint.SetNoConstraint)
        self._narrow: bool | None = None
        self._arrange(False)
        self.policy.activated.connect(lambda: self.policy_wanted.emit(str(self.policy.currentData())))
        self.cpu_lanes.valueChanged.connect(lambda: self._lanes_clock.start())
        self.stuck.valueChanged.connect(lambda: self._stuck_clock.start())

    def show_state(self, state: QueueState, linked: bool) -> None:
        """Show what holds now; a value that is just being changed is left alone."""
        self.setEnabled(linked)
        place = self.policy.findData(state.on_failure)
        if place >= 0 and not self.policy.view().isVisible():
            self.policy.setCurrentIndex(place)
        lanes, minutes = self.cpu_lanes, state.stuck_minutes or 0.0
        if not self._lanes_clock.isActive() and lanes.value() != state.cpu_lanes and not _is_typed_in(lanes):
            with QSignalBlocker(lanes):
                lanes.setValue(state.cpu_lanes)
        if not self._stuck_clock.isActive() and self.stuck.value() != minutes and not _is_typed_in(self.stuck):
            with QSignalBlocker(self.stuck):
                self.stuck.setValue(minutes)

    def rest(self) -> None:
        """Let go of changes that have not settled, because nobody is there any more to hear of them."""
        self._lanes_clock.stop()
        self._stuck_clock.stop()

    def minimumSizeHint(self) -> QSize:
        """As little as two lines need, so that a narrow page turns to them instead of pushing its neighbours."""
        first, *others = self._widths()
        return QSize(max(first, sum(others)), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(self.width() < sum(self._widths()))

    def _widths(self) -> list[int]:
        """Width of each field with its label, and of the room after it."""
        room = 2 * self._grid.horizontalSpacing() + GAP
        return [label.sizeHint().width() + widget.sizeHint().width() + room for label, widget in self._fields]

    def _arrange(self, narrow: bool) -> None:
        """All in one line, or the first above the others where there is too little room."""
        if narrow == self._narrow:
            return
        self._narrow = narrow
        for number, (label, widget) in enumerate(self._fields):
            row, place = (min(number, 1), max(0, number - 1)) if narrow else (0, number)
            self._grid.addWidget(label, row, 3 * place)
            # The wide field of the first line may reach over what is two fields in the second.
            self._grid.addWidget(widget, row, 3 * place + 1, 1, 4 if narrow and not number else 1)
        for column in range(9):
            self._grid.setColumnMinimumWidth(column, GAP if column in ((2,) if narrow else (2, 5)) else 0)
            self._grid.setColumnStretch(column, int(column == (5 if narrow else 8)))

    def _settling(self, announce: Callable[[], None]) -> QTimer:
        clock = QTimer(self, singleShot=True, interval=SETTLE_MS)
        clock.timeout.connect(announce)
        return clock


def _is_typed_in(box: CalmSpinBox | MinutesSpinBox) -> bool:
    """Whether somebody is in the middle of typing a number."""
    return box.hasFocus() and box.lineEdit().isModified()
