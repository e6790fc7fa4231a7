"""The results of one run: a row of numbers each, and below the table what the chosen one is about."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import QHeaderView, QLabel, QScrollArea, QTableView, QVBoxLayout, QWidget

from difrob_gui.models.results_model import MEASURED, ResultsModel
from difrob_gui.theme import set_role

DETAIL_LINES = 4


class ResultsView(QWidget):
    """A table with one line per result. Descriptions are long: the one of the current row stands below, in full width."""

    def __init__(self, model: ResultsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableView()
        self.table.setModel(model)
        self.table.setAccessibleName("Results of the run")
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.table.setVerticalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnHidden(MEASURED, True)
        self.detail = QLabel()
        self.detail.setWordWrap(True)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.detail.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.detail.setAccessibleName("What was measured")
        set_role(self.detail, "muted")
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(self.detail)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setFixedHeight(DETAIL_LINES * self.fontMetrics().lineSpacing() + 6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.table, 1)
        layout.addWidget(area)
        self.table.selectionModel().currentRowChanged.connect(self._on_current)
        model.modelReset.connect(self._choose_first)

    def _choose_first(self) -> None:
        model = self.table.model()
        if model.rowCount():
            self.table.setCurrentIndex(model.index(0, 0))
        else:
            self.detail.clear()

    def _on_current(self, index: QModelIndex, _old: QModelIndex) -> None:
        said = index.siblingAtColumn(MEASURED).data() if index.isValid() else ""
        name = index.siblingAtColumn(0).data() if index.isValid() else ""
        self.detail.setText(f"{name}: {said}" if said else str(name or ""))
