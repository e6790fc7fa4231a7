"""The head of the Monitor page: which run, how it stands, how far it is, and the ways to stop it."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from difrob.runs import RunState
from difrob.words import duration, kind_word, run_title
from difrob_gui.grades import GRADES, countdown
from difrob_gui.standing import KILL, RESUME, SHOW_LOG, START_ANEW, STOP, RunStanding, explain
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.badges import Banner, StateBadge
from difrob_gui.widgets.elided_label import ElidedLabel

_STOPPABLE = {RunState.STARTING, RunState.RUNNING, RunState.PAUSING, RunState.PAUSED}
_RESUMABLE = {RunState.PAUSED, RunState.PAUSING, RunState.INTERRUPTED, RunState.FAILED, RunState.CANCELLED}
_TONES = {
    RunState.FINISHED: "good",
    RunState.FAILED: "bad",
    RunState.INTERRUPTED: "warning",
    RunState.PAUSED: "warning",
    RunState.CANCELLED: "muted",
}
STEPS_PER_BAR = 1000


class RunStatus(QFrame):
    """Name, state, progress, stop buttons, and what needs to be said. ``stop_wanted`` carries the grade."""

    stop_wanted = Signal(str)
    resume_wanted = Signal()
    log_wanted = Signal()
    anew_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._standing: RunStanding | None = None
        self.badge = StateBadge()
        self.title = ElidedLabel()
        set_role(self.title, "title")
        self.about = ElidedLabel()
        set_role(self.about, "muted")
        self.pause = _button("Pause", "pause", "Pause", "")
        self.stop = _button(STOP, "stop", "Stop and keep what was reached", "")
        self.more = _button("", "more", "Harder ways to stop", "")
        self.more.setMenu(self._grades())
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, STEPS_PER_BAR)
        self.bar.setAccessibleName("Progress of the run")
        self.done = QLabel()
        self.left = QLabel()
        set_role(self.left, "muted")
        self.left.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.reason = Banner()
        self.pause.clicked.connect(self._on_pause)
        self.stop.clicked.connect(lambda: self.stop_wanted.emit("stop"))
        self.reason.acted.connect(self._on_advice)

        top = QHBoxLayout()
        top.setSpacing(10)
        top.addWidget(self.badge)
        top.addWidget(self.title, 1)
        for button in (self.pause, self.stop, self.more):
            top.addWidget(button)
        numbers = QHBoxLayout()
        numbers.addWidget(self.done)
        numbers.addStretch(1)
        numbers.addWidget(self.left)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(top)
        layout.addWidget(self.about)
        layout.addWidget(self.bar)
        layout.addLayout(numbers)
        layout.addWidget(self.reason)

    @property
    def standing(self) -> RunStanding | None:
        """What is shown."""
        return self._standing

    def show_standing(self, standing: RunStanding, now: float | None = None) -> None:
        """Show how the run stands."""
        self._standing = standing
        state = standing.state
        now = time.time() if now is None else now
        self.badge.set_state(state, standing.is_stuck)
        self.title.setText(run_title(standing.name, standing.run_id))
        self.title.setToolTip(f"{self.title.text()}\n{standing.run_id}")
        place = " on ".join(part for part in (standing.device, standing.host) if part)
        self.about.setText("  ·  ".join(part for part in (kind_word(standing.kind), place, standing.run_id) if part))
        self._show_progress(standing, now)
        self._show_buttons(state)
        self._show_explanation(standing, now)

    def clear(self) -> None:
        """Hide: nothing is known of the run so far."""
        self._standing = None
        self.hide()

    def tick(self, now: float | None = None) -> None:
        """Let the clocks of a live run go on."""
        if self._standing is not None and self._standing.state.is_live:
            now = time.time() if now is None else now
            self._show_progress(self._standing, now)
            self._show_explanation(self._standing, now)

    # ------------------------------------------------------------------ parts

    def _show_progress(self, standing: RunStanding, now: float) -> None:
        progress, state = standing.progress, standing.state
        known = progress.total > 0
        share = min(progress.done / progress.total, 1.0) if known else (1.0 if state is RunState.FINISHED else 0.0)
        # A bar that goes to and fro says: at work, and nobody knows how long.
        busy = not known and state.is_live and state is not RunState.PAUSED
        self.bar.setRange(0, 0 if busy else STEPS_PER_BAR)
        if not busy:
            self.bar.setValue(round(share * STEPS_PER_BAR))
        tone = _TONES.get(state, "")
        if self.bar.property("tone") != tone:
            self.bar.setProperty("tone", tone)
            self.bar.style().unpolish(self.bar)
            self.bar.style().polish(self.bar)
        done = f"{progress.done:,} of {progress.total:,} {progress.unit}  ·  {100 * share:.0f} %" if known else ""
        self.done.setText(done or _WITHOUT_PROGRESS.get(state, ""))
        words = []
        if state in (RunState.STOPPING, RunState.PAUSING):
            told = countdown(standing.stop_grade, standing.stop_deadline, now)
            grade = GRADES.get(standing.stop_grade)
            words.append(f"{grade.word}: {told}" if told and grade is not None else told)
        if standing.waiting:
            words.append(standing.waiting)
        if state in (RunState.RUNNING, RunState.PAUSING) and progress.seconds_left is not None:
            words.append(f"about {duration(progress.seconds_left)} left")
        if standing.started is not None:
            end = standing.ended if standing.ended is not None and state.is_end else (now if state.is_live else None)
            if end is not None:
                words.append(f"{'took' if state.is_end else 'running for'} {duration(end - standing.started)}")
        self.left.setText("  ·  ".join(word for word in words if word))
        self.bar.setAccessibleDescription(f"{self.done.text()}, {self.left.text()}")

    def _show_buttons(self, state: RunState) -> None:
        resumes = state in _RESUMABLE
        self.pause.setText("Resume" if resumes else "Pause")
        self.pause.setIcon(icon("resume" if resumes else "pause"))
        self.pause.setAccessibleName(self.pause.text())
        self.pause.setEnabled(resumes or state is RunState.RUNNING)
        self.pause.setToolTip(_resume_tip(state) if resumes else GRADES["pause"].tip)
        waits = state is RunState.QUEUED
        self.stop.setText("Cancel" if waits else STOP)
        self.stop.setToolTip("Take it from the queue." if waits else GRADES["stop"].tip)
        self.stop.setAccessibleName(self.stop.text())
        self.stop.setEnabled(waits or state in _STOPPABLE)
        self.stop.setVisible(not state.is_end)
        self.pause.setVisible(not (state.is_end and state is RunState.FINISHED) and not waits)
        for grade, action in self._actions.items():
            action.setEnabled(state.is_live and (grade == "kill" or state in _STOPPABLE or state is RunState.STOPPING))
        self.more.setVisible(state.is_live)

    def _show_explanation(self, standing: RunStanding, now: float) -> None:
        told = explain(standing, now)
        if told is None:
            self.reason.silence()
            return
        self.reason.say(told.tone, told.title, told.text, *told.buttons, advice=told.advice)
        for button in self.reason.buttons:
            button.setToolTip(_ADVICE_TIPS[button.text()])

    def _grades(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self._actions: dict[str, QAction] = {}
        for grade in (GRADES["abort"], GRADES["kill"]):
            action = menu.addAction(icon(grade.icon, "bad"), grade.text)
            action.setToolTip(grade.tip)
            action.triggered.connect(lambda _checked=False, name=grade.name: self.stop_wanted.emit(name))
            self._actions[grade.name] = action
        return menu

    def _on_advice(self, button: str) -> None:
        if button == RESUME:
            self.resume_wanted.emit()
        elif button == SHOW_LOG:
            self.log_wanted.emit()
        elif button == START_ANEW:
            self.anew_wanted.emit()
        else:
            self.stop_wanted.emit("kill" if button == KILL else "stop")

    def _on_pause(self) -> None:
        if self._standing is not None and self._standing.state in _RESUMABLE:
            self.resume_wanted.emit()
        else:
            self.stop_wanted.emit("pause")


def _button(text: str, icon_name: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(icon(icon_name), text)
    button.setAccessibleName(name)
    button.setToolTip(tip or name)
    return button


def _resume_tip(state: RunState) -> str:
    if state in (RunState.PAUSED, RunState.PAUSING):
        return "Let it go on where it stands."
    return _ADVICE_TIPS[RESUME]


_ADVICE_TIPS = {
    RESUME: "Queue it again; it goes on from its last checkpoint, or from the beginning without one.",
    SHOW_LOG: "Go to the end of the log below.",
    START_ANEW: "Take its settings to the Launch page, to change them and start another run.",
    STOP: GRADES["stop"].tip,
    KILL: GRADES["kill"].tip,
}
_WITHOUT_PROGRESS = {
    RunState.QUEUED: "Not started yet",
    RunState.STARTING: "Starting its worker",
    RunState.RUNNING: "Working",
}
