"""The line at the foot of the window: the link to the supervisor, the queue in short, the load of the machine."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QWidget

from difrob.runs import RunState
from difrob.worker.messages import Meters, QueueState
from difrob_gui.client import NO_SUPERVISOR, Link
from difrob_gui.stuck import entry_is_stuck
from difrob_gui.theme import icon, set_role

_LOOK = {
    Link.CONNECTED: ("check-circle", "good"),
    Link.CONNECTING: ("spinner", "info"),
    Link.STARTING: ("spinner", "info"),
    Link.FAILED: ("warning", "bad"),
    Link.CLOSED: ("plug", "text_muted"),
}
GB = 1e9


class StatusStrip(QWidget):
    """``reconnect_wanted`` when the state of the link is clicked."""

    reconnect_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.link = QToolButton()
        self.link.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.link.setIconSize(QSize(15, 15))
        self.link.clicked.connect(self.reconnect_wanted)
        self.queue = QLabel()
        self.meters = QLabel()
        for label in (self.queue, self.meters):
            set_role(label, "caption")
        self.queue.setAccessibleName("Queue in short")
        self.meters.setAccessibleName("Load of the machine")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 12, 0)
        row.setSpacing(16)
        row.addWidget(self.link)
        row.addWidget(self.queue)
        row.addStretch(1)
        row.addWidget(self.meters)
        self._was_linked = False
        self.is_calm = True
        self.show_link(Link.CLOSED, "")

    def show_link(self, link: Link, reason: str) -> None:
        """How the window stands with the supervisor, and why. That none runs is bad news only when one did before."""
        self._was_linked |= link is Link.CONNECTED
        self.is_calm = link is not Link.FAILED or (reason == NO_SUPERVISOR and not self._was_linked)
        word = NO_SUPERVISOR if link is Link.FAILED and self.is_calm else str(link.value)
        name, colour = _LOOK[Link.CLOSED if word == NO_SUPERVISOR else link]
        self.link.setIcon(icon(name, colour))
        self.link.setText(word.capitalize())
        tip = reason[:1].upper() + reason[1:] if reason else "The supervisor owns the queue and the runs."
        if word == NO_SUPERVISOR:
            tip += (
                "\nNothing is wrong: one starts with 'difrob serve' or 'difrob run --queue', and carries out the queue."
            )
        if link is not Link.CONNECTED:
            tip += "\nClick to try again now."
        self.link.setToolTip(tip)
        self.link.setAccessibleName(f"Supervisor: {word}")

    def show_queue(self, state: QueueState, elsewhere: int = 0) -> None:
        """How many runs are live and how many wait; ``elsewhere`` counts live ones that were not started by the queue."""
        live = sum(entry.state.is_live for entry in state.entries) + elsewhere
        waiting = sum(entry.state is RunState.QUEUED for entry in state.entries)
        hung = sum(map(entry_is_stuck, state.entries))
        text = f"{live} running, {waiting} waiting" + (f", {hung} stuck" if hung else "")
        self.queue.setText(f"{text} · queue paused" if state.paused else text)

    def show_meters(self, meters: Meters | None) -> None:
        """CPU, memory and GPUs in a few words; more in the tooltip."""
        if meters is None:
            self.meters.clear()
            return
        used, total = meters.memory_used / GB, meters.memory_total / GB
        parts = [f"CPU {100 * meters.cpu:.0f} %", f"Memory {used:.1f} / {total:.0f} GB"]
        tips = [f"{meters.disk_free / GB:.0f} GB free on disk"]
        for number, gpu in enumerate(meters.gpus):
            name = "GPU" if len(meters.gpus) == 1 else f"GPU {number}"
            parts.append(f"{name} {100 * gpu.load:.0f} %")
            tips.append(f"{gpu.name}: {gpu.memory_used / GB:.1f} of {gpu.memory_total / GB:.0f} GB")
        self.meters.setText("    ".join(parts))
        self.meters.setToolTip("\n".join(tips))
