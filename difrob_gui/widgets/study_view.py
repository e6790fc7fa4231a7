"""One study: what it claims, how it stands, what was decided, and the numbers of its arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from difrob import words
from difrob.errors import UserError
from difrob.runs import RunState
from difrob_gui.models.study_models import ArmsModel
from difrob_gui.models.study_shelf import Shown
from difrob_gui.models.study_words import about_text, parse_seeds, seeds_text, states_text
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.card import titled_card
from difrob_gui.widgets.tone_label import ToneLabel
from difrob_gui.widgets.verdict_rows import VerdictRows

if TYPE_CHECKING:
    from difrob.studies.report import Report


class StudyView(QWidget):
    """What is known of the chosen study, and the buttons that act on it."""

    begin_wanted = Signal(tuple)
    continue_wanted = Signal()
    compare_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Shown | None = None
        self.title = _label("heading")
        self.claim = _label("")
        self.source = _label("caption")
        self.changed = ToneLabel(
            "The shipped declaration has changed since; this is decided by the one written then.", "warning"
        )
        self.changed.setWordWrap(True)
        self.states = ToneLabel("", "text")
        self.states.setWordWrap(True)
        self.bar = QProgressBar(textVisible=False)
        self.bar.setAccessibleName("Finished runs")
        self.seeds = QLineEdit()
        self.seeds.setAccessibleName("Seeds")
        self.seeds.setToolTip("Whole numbers with commas between, or a range like 0-4. All arms run with each of them.")
        self.seeds.setMaximumWidth(self.fontMetrics().averageCharWidth() * 24)
        self.seeds.textChanged.connect(self._on_seeds)
        self.seeds.returnPressed.connect(self.begin)
        self.seeds_problem = ToneLabel("", "bad")
        self.seeds_problem.setWordWrap(True)
        self.begin_button = _button(
            "Begin", "launch", "Write down what will be decided, and queue all runs", self.begin
        )
        self.continue_button = _button("Continue", "resume", "Queue again what is missing", self.continue_wanted.emit)
        self.compare_button = _button(
            "Compare its runs", "compare", "Show the measured runs on the Compare page", self.compare_wanted.emit
        )
        self.verdicts = VerdictRows()
        self.arms = ArmsModel()
        self.table = _table(self.arms)
        self.unfinished = _label("caption")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(10)
        for widget in (self.title, self.claim, self.source, self.changed):
            column.addWidget(widget)
        column.addLayout(self._bar_row())
        column.addLayout(self._button_row())
        column.addWidget(self.seeds_problem)
        column.addWidget(titled_card("Decisions", self.verdicts))
        column.addWidget(titled_card("Arms and outcomes", self.table, self.unfinished))
        column.addStretch(1)

    @property
    def shown(self) -> Shown | None:
        """The study on show."""
        return self._shown

    def show_study(self, shown: Shown) -> None:
        """Show a study; its report follows by :meth:`show_report`."""
        other = self._shown is None or self._shown.key != shown.key
        self._shown = shown
        study, begun = shown.study, shown.record is not None
        self.title.setText(study.title)
        self.claim.setText(study.claim)
        about = about_text(study)
        parts = [study.source, f"{words.plural(len(study.arms), 'arm')}, seeds {seeds_text(study.seeds)}",
                 words.plural(shown.runs, "run"), f"about {about}" if about else ""]  # fmt: skip
        self.source.setText("  ·  ".join(part for part in parts if part))
        self.changed.setVisible(shown.is_changed)
        for widget in (self.bar, self.states, self.continue_button, self.compare_button):
            widget.setVisible(begun)
        self.begin_button.setText("Begin anew" if begun else "Begin")
        set_role(self.begin_button, "" if begun else "primary")
        self.begin_button.setIcon(icon("launch", "text_muted" if begun else "accent_text"))
        if other:
            self.seeds.setText(seeds_text(study.seeds))
            self.show_report(None)

    def show_report(self, report: Report | None, problem: str = "") -> None:
        """Show numbers and decisions; None while they are not known."""
        if self._shown is None:
            return
        study = self._shown.study
        self.verdicts.show_study(study, report)
        self.arms.show_study(study, report)
        self._fit_table()
        reasons = (
            [] if report is None else [f"{run_id}: {why}" for run_id, why in report.unfinished.items() if ":" in why]
        )
        more = f"\nand {len(reasons) - 3} more" if len(reasons) > 3 else ""
        said = problem or "\n".join(reasons[:3]) + more
        self.unfinished.setText(said)
        self.unfinished.setVisible(bool(said))

    def show_states(self, states: list[RunState | None], can_continue: bool) -> None:
        """How far the runs of a study that was begun are; None for one that is neither queued nor there."""
        finished = sum(state is RunState.FINISHED for state in states)
        self.bar.setRange(0, max(len(states), 1))
        self.bar.setValue(finished)
        fallen = any(state in (RunState.FAILED, RunState.INTERRUPTED) for state in states)
        self.states.set_tone("bad" if fallen else "good" if states and finished == len(states) else "text")
        self.states.setText(states_text(states))
        self.continue_button.setEnabled(can_continue)
        self.compare_button.setEnabled(finished > 0)

    def begin(self) -> None:
        """Ask for the study to begin with the seeds that were filled in."""
        if self.begin_button.isEnabled():
            self.begin_wanted.emit(parse_seeds(self.seeds.text()))

    def set_busy(self, busy: bool) -> None:
        """While it is being queued, it cannot be begun a second time."""
        self.begin_button.setEnabled(not busy and not self.seeds_problem.text())

    def _bar_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.bar, 1)
        row.addWidget(self.states, 2)
        return row

    def _button_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        label = QLabel("&Seeds")
        label.setBuddy(self.seeds)
        for widget in (label, self.seeds, self.begin_button, self.continue_button, self.compare_button):
            row.addWidget(widget)
        row.addStretch(1)
        return row

    def _on_seeds(self, text: str) -> None:
        try:
            count = len(parse_seeds(text))
            problem = ""
        except UserError as error:
            count, problem = 0, str(error)
        self.seeds_problem.setText(problem[:1].upper() + problem[1:])
        self.seeds_problem.setVisible(bool(problem))
        self.begin_button.setEnabled(not problem)
        if self._shown is not None and count and count != len(self._shown.study.seeds):
            runs = self._shown.runs * count / len(self._shown.study.seeds)
            self.begin_button.setToolTip(f"Write down what will be decided, and queue about {runs:.0f} runs")

    def _fit_table(self) -> None:
        row = self.table.fontMetrics().height() + 12
        self.table.verticalHeader().setDefaultSectionSize(row)
        high = self.table.horizontalHeader().sizeHint().height() + self.arms.rowCount() * row + 20
        self.table.setFixedHeight(min(high, 16 * row))


def _label(role: str) -> QLabel:
    label = QLabel(wordWrap=True)
    if role:
        set_role(label, role)
    return label


def _button(text: str, picture: str, tip: str, act: object) -> QPushButton:
    button = QPushButton(icon(picture, "text_muted"), text)
    button.setToolTip(tip)
    assert callable(act)
    button.clicked.connect(lambda _checked=False: act())
    return button


def _table(model: ArmsModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName("Arms and outcomes")
    table.setShowGrid(False)
    table.setSelectionMode(QTableView.SelectionMode.NoSelection)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.setHorizontalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    header.setHighlightSections(False)
    return table
