"""The decisions of a study, one below the other: icon and word of the verdict, what was decided, the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from difrob_gui.models.study_words import LOOKS, decision_text, verdict_text
from difrob_gui.theme import icon, set_role, theme_signals
from difrob_gui.widgets.tone_label import ToneLabel

if TYPE_CHECKING:
    from difrob.studies.declaration import Study
    from difrob.studies.report import Report


class VerdictRows(QWidget):
    """Made anew for each study; a report only changes the words."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._study: Study | None = None
        self._rows: list[_Row] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)

    @property
    def words(self) -> list[str]:
        """The verdicts on show, in the order of the decisions."""
        return [row.word.text() for row in self._rows]

    def show_study(self, study: Study, report: Report | None) -> None:
        """Show the decisions of a study; without a report, by which rule they will be made."""
        if study is not self._study:
            self._study = study
            for row in self._rows:
                self._column.removeWidget(row)
                row.hide()
                row.deleteLater()
            self._rows = [_Row(decision.name) for decision in study.decisions]
            for row in self._rows:
                self._column.addWidget(row)
        for place, row in enumerate(self._rows):
            rule = decision_text(study, study.decisions[place])
            if report is None:
                row.say("", rule, "")
            else:
                row.say(report.verdicts[place].word, verdict_text(study, report, place), rule)


class _Row(QWidget):
    """One decision."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._look = LOOKS["not enough data"]
        self._picture = QLabel()
        self.word = ToneLabel("")
        font = self.word.font()
        font.setWeight(font.Weight.DemiBold)
        self.word.setFont(font)
        self._name = _text(name)
        self.numbers = _text("")
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._rule = _text("")
        set_role(self._rule, "caption")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        grid.addWidget(self._picture, 0, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.word, 0, 1, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self._name, 0, 2)
        grid.addWidget(self.numbers, 1, 2)
        grid.addWidget(self._rule, 2, 2)
        grid.setColumnStretch(2, 1)
        self.word.setMinimumWidth(self.fontMetrics().horizontalAdvance("Not enough data") + 14)
        theme_signals.changed.connect(self._paint)

    def say(self, word: str, numbers: str, rule: str) -> None:
        """Show a verdict; an empty word stands for one that is still to come."""
        self._look = LOOKS.get(word, LOOKS["not enough data"])
        self.word.setText(word[:1].upper() + word[1:] if word else "To be decided")
        self.word.set_tone(self._look[1])
        self.numbers.setText(numbers)
        self._rule.setText(rule)
        self._rule.setVisible(bool(rule))
        self.setAccessibleName(f"{self._name.text()}: {self.word.text()}, {numbers}")
        self._paint()

    def _paint(self, _theme: object = None) -> None:
        side = self.fontMetrics().height()
        self._picture.setPixmap(icon(*self._look).pixmap(QSize(side, side), self.devicePixelRatioF()))


def _text(said: str) -> QLabel:
    label = QLabel(said, textFormat=Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    return label
