"""The table of runs at the left: search, ticks for comparison, and what can be done with a run."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QModelIndex, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QFontMetrics, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from difrob import words
from difrob.runs import RunState, RunSummary
from difrob.worker.messages import Entry, LiveProgress
from difrob_gui.grades import counts_down
from difrob_gui.models.row_sync import Index
from difrob_gui.models.run_row import RunRow
from difrob_gui.models.runs_table import (
    AGE,
    COLUMNS,
    KIND,
    PROGRESS,
    RESULT,
    RUN,
    STATE,
    RowRole,
    RunsTableModel,
    WaitsRole,
)
from difrob_gui.standing import RECOVER
from difrob_gui.theme import current_theme, icon, set_role, state_colour, theme_signals
from difrob_gui.widgets.search_line import SearchLine
from difrob_gui.widgets.two_line_delegate import Cell, TwoLineDelegate, fit_rows, small_font

AGE_MS = 20_000
COUNTDOWN_MS = 1000
WIDEST_DEADLINES = "since 00:00 · stop 00:00"
SLIM_LETTERS = 90
NARROW_LETTERS = 56
TINY_LETTERS = 30
TIP = "Words must all occur. “kind:classifier” and “state:failed” look in one column only."


class RunsPanel(QWidget):
    """``current_changed`` follows the current row, ``activated`` is Return or a double click."""

    current_changed = Signal(str)
    activated = Signal(str)
    compare_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = RunsTableModel(self)
        self._menu: Callable[[QWidget], QMenu] | None = None
        self._current = ""
        self._wanted = ""
        self._slim = self._narrow = self._tiny = False
        self.search = SearchLine("Search runs …", TIP)
        self.search.textChanged.connect(self._on_search)
        self._count = QLabel()
        set_role(self._count, "caption")
        self._compare = QPushButton("Compare")
        self._compare.setToolTip("Show the ticked runs side by side")
        self._compare.clicked.connect(self.compare_wanted)
        self.table = self._make_table()
        self._empty = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self._empty.setContentsMargins(24, 24, 24, 24)
        set_role(self._empty, "muted")
        self._stack = QStackedWidget()
        self._stack.addWidget(self.table)
        self._stack.addWidget(self._empty)
        heading = QLabel("Runs")
        set_role(heading, "heading")
        top = QHBoxLayout()
        top.addWidget(heading)
        top.addWidget(self._count)
        top.addStretch(1)
        top.addWidget(self._compare)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 4, 10)
        column.setSpacing(8)
        column.addLayout(top)
        column.addWidget(self.search)
        column.addWidget(self._stack, 1)
        self.model.checked_changed.connect(self._describe)
        for signal in (
            self.model.rowsInserted,
            self.model.rowsRemoved,
            self.model.modelReset,
            self.model.layoutChanged,
        ):
            signal.connect(self._after_change)
        self._clock = QTimer(self, interval=AGE_MS)
        self._clock.timeout.connect(self.table.viewport().update)
        theme_signals.changed.connect(self._refit)
        self._describe()

    # ------------------------------------------------------------------ contents

    def set_runs(
        self, summaries: list[RunSummary], entries: dict[str, Entry], progress: dict[str, LiveProgress], linked: bool
    ) -> None:
        """Show what is known now; current row, ticks and place in the list stay."""
        self.model.set_runs(summaries, entries, progress, linked)
        self._clock.setInterval(COUNTDOWN_MS if linked and any(map(counts_down, entries.values())) else AGE_MS)
        self._describe()

    @property
    def current(self) -> RunRow | None:
        """The current run."""
        return self.model.row(self._current) if self._current else None

    def select(self, run_id: str) -> None:
        """Make a run the current one, now or as soon as it is listed."""
        self._wanted = run_id
        self._after_change()

    def focus_search(self) -> None:
        """Go to the search box."""
        self.search.setFocus()
        self.search.selectAll()

    def set_context_menu(self, make: Callable[[QWidget], QMenu]) -> None:
        """What makes the context menu of a run."""
        self._menu = make

    # ------------------------------------------------------------------ parts

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setAccessibleName("Runs")
        table.setModel(self.model)
        table.setItemDelegate(TwoLineDelegate(lambda index: run_cell(index, self._slim), table))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(40)
        header.setSectionsMovable(True)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._choose_columns)
        for column in (KIND, PROGRESS):
            table.setColumnHidden(column, True)
        table.setSortingEnabled(True)
        table.sortByColumn(AGE, Qt.SortOrder.AscendingOrder)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._show_menu)
        table.selectionModel().currentRowChanged.connect(self._on_current)
        table.activated.connect(lambda index: self.activated.emit(self.model.run_id_at(index.row())))
        return table

    def _refit(self, _theme: object = None) -> None:
        """Row height and column widths follow the font."""
        fit_rows(self.table)
        header, metrics = self.table.horizontalHeader(), self.table.fontMetrics()
        header.setSectionResizeMode(RUN, QHeaderView.ResizeMode.Stretch)
        icon_width = metrics.height() + 6
        narrow = self.width() < NARROW_LETTERS * metrics.averageCharWidth()
        slim = self.width() < SLIM_LETTERS * metrics.averageCharWidth()
        if slim != self._slim:
            self._slim = slim
            self.table.setColumnHidden(STATE, slim)
        if narrow != self._narrow:
            self._narrow = narrow
            self.table.setColumnHidden(AGE, narrow)
        tiny = self.width() < TINY_LETTERS * metrics.averageCharWidth()
        if tiny != self._tiny:  # a name says more than a number that cannot be told to belong to it
            self._tiny = tiny
            self.table.setColumnHidden(RESULT, tiny)
        for column, widest in (
            (STATE, "Interrupted"),
            (RESULT, "[0.397, 0.43]"),
            (AGE, "59 min"),
            (KIND, "Diffusion model"),
        ):
            room = metrics.horizontalAdvance(widest) + 22
            if column == STATE:
                deadlines = QFontMetrics(small_font(self.table.font())).horizontalAdvance(WIDEST_DEADLINES)
                room = max(room + icon_width, deadlines + 22)
            self.table.setColumnWidth(column, room)

    # ------------------------------------------------------------------ events

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._refit()

    def showEvent(self, event: QShowEvent) -> None:
        self._refit()
        self._clock.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        super().hideEvent(event)

    def _on_search(self, text: str) -> None:
        self.model.set_filter(text)
        self._describe()

    def _on_current(self, index: Index, _old: Index) -> None:
        run_id = self.model.run_id_at(index.row()) if index.isValid() else ""
        if run_id and run_id != self._current:
            self._current = run_id
            self.current_changed.emit(run_id)

    def _after_change(self, *_: object) -> None:
        """Keep the current run current when rows came, left or were sorted."""
        target = self._wanted or self._current
        place = self.model.place_of(target)
        if target and place < 0 and self.model.row(self._current) is None and self._current:
            self._current = ""
            self.current_changed.emit("")
        if place >= 0:
            if self._wanted:
                self._wanted = ""
            if self.table.currentIndex().row() != place:
                self.table.setCurrentIndex(self.model.index(place, RUN))

    def _describe(self, _checked: object = None) -> None:
        shown, total = self.model.rowCount(), self.model.total
        self._count.setText(f"{shown} of {total}" if shown != total else str(total) if total else "")
        count = len(self.model.checked_ids())
        self._compare.setText(f"Compare ({count})" if count else "Compare")
        self._compare.setIcon(icon("compare"))
        self._compare.setEnabled(count > 0)
        self._compare.setAccessibleName(f"Compare {words.plural(count, 'ticked run')}")
        if total == 0:
            self._empty.setText("No runs yet.\nChoose a method on the Launch page and press Start.")
        else:
            self._empty.setText(f"No run fits “{self.search.text()}”.\nPress Escape in the search box to see all.")
        self._stack.setCurrentWidget(self.table if shown else self._empty)

    def _show_menu(self, place: QPoint) -> None:
        index = self.table.indexAt(place)
        if index.isValid() and self._menu is not None:
            self.table.setCurrentIndex(index.siblingAtColumn(RUN))
            menu = self._menu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.table.viewport().mapToGlobal(place))

    def _choose_columns(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column, title in enumerate(COLUMNS):
            if column == RUN:
                continue
            action = QAction(title, menu, checkable=True, checked=not self.table.isColumnHidden(column))
            action.toggled.connect(lambda on, column=column: self.table.setColumnHidden(column, not on))
            menu.addAction(action)
        menu.popup(self.table.horizontalHeader().mapToGlobal(place))


def run_cell(index: Index | QModelIndex, slim: bool = False) -> Cell:
    """What a cell of the table of runs looks like; in a slim table the state stands under the name."""
    row: RunRow = index.data(RowRole)
    column = index.column()
    if column == RUN:
        kind = words.kind_word(row.kind)
        if not slim:
            return Cell(row.title, kind, strong=True)
        state = _state_cell(row, index)
        live = row.state.is_live and row.progress.total > 0
        left = words.duration(row.progress.seconds_left)
        parts = [state.title]
        if row.damaged:
            parts.append(row.reason)
        elif told := row.standing_in_short(time.time()):
            parts = [told]
        elif live:
            parts = [f"{state.title} {100 * row.share_done:.0f} %", f"{left} left" if left else ""]
        detail = " · ".join(part for part in (*parts, kind) if part)
        bar = row.share_done if live else None
        return Cell(row.title, detail, strong=True, detail_icon=state.icon, base_bar=bar)
    if column == STATE:
        return _state_cell(row, index)
    if column == RESULT:
        if row.result is None:
            return Cell()
        unit = row.result.unit
        return Cell(words.number(row.result.value, unit), words.interval(row.result) or row.result_title)
    if column == PROGRESS:
        done = f"{row.progress.done:,} of {row.progress.total:,}" if row.progress.total else ""
        return Cell(f"{100 * row.share_done:.0f} %" if row.progress.total else "", done)
    return Cell(str(index.data()))


def _state_cell(row: RunRow, index: Index) -> Cell:
    word, look, colour = row.state_text, row.look, state_colour(row.state)
    if row.damaged:
        return Cell(word, f"{row.reason}; {RECOVER}" if row.reason else RECOVER, look, current_theme().bad)
    if row.is_stuck or row.state in (RunState.STOPPING, RunState.PAUSING):
        return Cell(word, row.standing_detail(time.time()), look, current_theme().warning)
    if row.state.is_live and row.progress.total:
        left = words.duration(row.progress.seconds_left)
        return Cell(word, left or f"{100 * row.share_done:.0f} %", look, colour, bar=row.share_done)
    if row.state is RunState.QUEUED:
        waits = index.data(WaitsRole)
        if waits.held or waits.broken:
            return Cell("Held" if waits.held else "Blocked", waits.detail(), icon("hold", "warning"))
        return Cell(word, waits.detail() or row.reason, look, colour)
    return Cell(word, row.reason, look, colour)
