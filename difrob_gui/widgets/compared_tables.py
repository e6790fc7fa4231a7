"""The tables of the Compare page: results side by side, and differences of the specifications."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from difrob.comparison import result_rows, spec_differences
from difrob.runs import RunSummary
from difrob.words import plural
from difrob_gui.models.compared_runs import DifferencesModel
from difrob_gui.models.results_model import ComparisonModel
from difrob_gui.theme import set_role
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.wrapping_table import WrappingTable


class ResultsTab(QWidget):
    """Final numbers: a row per number, a column per run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None
        self.model = ComparisonModel()
        self.view = WrappingTable("Results of the compared runs")
        self.view.setModel(self.model)
        self.legend = QLabel(
            "Intervals stand in brackets; the tooltip of a number says what was measured. “best” is only said of runs that "
            "were measured alike; “≈ best” means that the interval overlaps that of the best."
        )
        self.legend.setWordWrap(True)
        set_role(self.legend, "caption")
        self._empty = EmptyState(
            "results", "No results yet", "The chosen runs have not measured any final numbers so far."
        )
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 10, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.legend)
        self._stack = _stack(self, self._empty, filled)

    def show_runs(self, runs: list[RunSummary], titles: list[str]) -> None:
        """Show the results of these runs."""
        key = [(run.run_id, title, run.results, run.spec) for run, title in zip(runs, titles, strict=True)]
        if key == self._shown:
            return
        self._shown = key
        rows = result_rows(runs)
        self.model.show_rows(rows, [(run.run_id, title) for run, title in zip(runs, titles, strict=True)])
        self._stack.setCurrentIndex(1 if rows else 0)
        self.view.fit_columns()


class DifferencesTab(QWidget):
    """In what the specifications differ."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None
        self.model = DifferencesModel()
        self.view = WrappingTable("Specifications of the compared runs")
        self.view.setModel(self.model)
        self.only = QCheckBox("&Only differences")
        self.only.setChecked(True)
        self.only.setToolTip("Leave out the fields in which all runs agree")
        self.note = QLabel()
        set_role(self.note, "caption")
        bar = QHBoxLayout()
        bar.addWidget(self.only)
        bar.addStretch(1)
        bar.addWidget(self.note)
        self._empty = EmptyState("spec", "Nothing to compare", "Choose two or more runs to see in what they differ.")
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 10, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        self._stack = _stack(self, self._empty, filled)
        self.only.toggled.connect(self._on_only)

    def show_runs(self, runs: list[RunSummary], titles: list[str]) -> None:
        """Show the specifications of these runs."""
        key = [(run.run_id, title, run.spec) for run, title in zip(runs, titles, strict=True)]
        if key == self._shown:
            return
        self._shown = key
        self.model.show_differences(spec_differences([run.spec for run in runs]), titles)
        self._stack.setCurrentIndex(1 if len(runs) > 1 else 0)
        self._write()
        self.view.fit_columns()

    def _on_only(self, only: bool) -> None:
        self.model.set_only_differences(only)
        self.view.fit_columns()
        self._write()

    def _write(self) -> None:
        if self.model.rowCount():
            self.note.setText(f"{plural(self.model.hidden, 'field')} alike, not shown" if self.model.hidden else "")
        else:
            self.note.setText(f"All {plural(self.model.hidden, 'field')} are alike.")


def _stack(owner: QWidget, empty: QWidget, filled: QWidget) -> QStackedWidget:
    stack = QStackedWidget()
    stack.addWidget(empty)
    stack.addWidget(filled)
    outer = QVBoxLayout(owner)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(stack)
    return stack
