"""Queue: what runs, what runs next, and everything that changes it."""

from __future__ import annotations

import time

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QStackedWidget,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from difrob import words
from difrob.runs import RunState
from difrob_gui import stuck
from difrob_gui.actions import BY_ID, ActionTable, keys_text
from difrob_gui.client import Link, SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.grades import counts_down
from difrob_gui.models.queue_model import LANE, POSITION, PROGRESS, RUN, STATE, WAITS, QueueModel, QueueRow, RowRole
from difrob_gui.models.row_sync import Index
from difrob_gui.queue_commands import QueueCommands
from difrob_gui.theme import current_theme, icon, set_role, state_colour, theme_signals
from difrob_gui.widgets.queue_settings import QueueSettings
from difrob_gui.widgets.run_header import lane_word
from difrob_gui.widgets.stuck_banner import StuckBanner
from difrob_gui.widgets.two_line_delegate import Cell, TwoLineDelegate, fit_rows

FLUSH_MS = 200
SECOND_MS = 1000


class QueuePage(QWidget):
    """The queue as a table; buttons and keys come from the table of actions."""

    current_changed = Signal(str)
    chosen_changed = Signal()
    show_wanted = Signal(str)
    edit_wanted = Signal(object, str)

    def __init__(
        self, feeds: FeedHub, client: SupervisorClient, actions: ActionTable, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._feeds = feeds
        self._client = client
        self._actions = actions
        self.model = QueueModel(self)
        self.commands = QueueCommands(client, self.model, self.chosen, self)
        self.table = self._make_table()
        self._empty = self._make_empty()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.table)
        self._stack.addWidget(self._empty)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(10)
        column.addLayout(self._make_head())
        column.addWidget(self._make_banner())
        self.stuck_banner = StuckBanner()
        self.stuck_banner.stop_wanted.connect(self.commands.stop)
        self.stuck_banner.show_wanted.connect(self.show_wanted)
        column.addWidget(self.stuck_banner)
        column.addLayout(self._make_tools())
        column.addWidget(self._stack, 1)
        self.settings = self._make_settings()
        column.addWidget(self.settings)
        actions.attach("queue", self)
        self._clock = QTimer(self, singleShot=True, interval=FLUSH_MS)
        self._clock.timeout.connect(self._flush)
        self._seconds = QTimer(self, interval=SECOND_MS)
        self._seconds.timeout.connect(self._on_second)
        client.state_changed.connect(self._later)
        client.entry_changed.connect(self._later)
        client.entry_removed.connect(self._later)
        client.link_changed.connect(self._on_link)
        client.progress_changed.connect(self._later)
        feeds.summaries_changed.connect(self._later)
        theme_signals.changed.connect(self._refit)
        self._flush()

    # ------------------------------------------------------------------ what actions do

    def chosen(self) -> list[QueueRow]:
        """The chosen entries, as they stand in the table."""
        places = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        rows = [self.model.row(self.model.run_id_at(place)) for place in places]
        return [row for row in rows if row is not None]

    def select(self, run_ids: list[str]) -> None:
        """Choose these entries."""
        selection = self.table.selectionModel()
        selection.clearSelection()
        for run_id in run_ids:
            place = self.model.place_of(run_id)
            if place >= 0:
                flags = selection.SelectionFlag.Select | selection.SelectionFlag.Rows
                selection.select(self.model.index(place, RUN), flags)
                selection.setCurrentIndex(self.model.index(place, RUN), selection.SelectionFlag.NoUpdate)

    def edit(self) -> None:
        """Open the chosen entry on the Launch page."""
        rows = self.chosen()
        if self.commands.allows("queue.edit"):
            self.edit_wanted.emit(rows[0].entry, rows[0].title)

    # ------------------------------------------------------------------ parts

    def _make_head(self) -> QHBoxLayout:
        title = QLabel("Queue")
        set_role(title, "title")
        self._summary = QLabel()
        set_role(self._summary, "muted")
        words_column = QVBoxLayout()
        words_column.setSpacing(2)
        words_column.addWidget(title)
        words_column.addWidget(self._summary)
        self.pause_button = QPushButton()
        self.pause_button.setIconSize(QSize(16, 16))
        self.pause_button.clicked.connect(self._actions["queue.pause"].trigger)
        row = QHBoxLayout()
        row.addLayout(words_column, 1)
        for action_id in ("queue.undo", "queue.redo"):
            row.addWidget(self._tool(action_id), 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.pause_button, 0, Qt.AlignmentFlag.AlignVCenter)
        return row

    def _tool(self, action_id: str) -> QToolButton:
        action = self._actions[action_id]
        button = QToolButton()
        button.setDefaultAction(action)
        button.setIconSize(QSize(18, 18))
        button.setAccessibleName(action.text().replace("&", "").rstrip(" …"))
        return button

    def _make_banner(self) -> QFrame:
        self._banner = QFrame()
        set_role(self._banner, "banner-warning")
        text = QLabel("The queue is paused: live runs go on, nothing new starts.", wordWrap=True)
        release = QPushButton("Let it go on")
        set_role(release, "quiet")
        release.clicked.connect(self._actions["queue.pause"].trigger)
        row = QHBoxLayout(self._banner)
        row.setContentsMargins(12, 4, 6, 4)
        row.addWidget(text, 1)
        row.addWidget(release)
        self._banner.hide()
        return self._banner

    def _make_tools(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(2)
        groups = (
            ("queue.top", "queue.up", "queue.down", "queue.bottom", "queue.raise", "queue.lower"),
            ("queue.hold", "queue.edit", "queue.duplicate", "queue.remove"),
        )
        for number, group in enumerate(groups):
            if number:
                row.addSpacing(14)
            for action_id in group:
                row.addWidget(self._tool(action_id))
        row.addSpacing(14)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Pause, stop, abort or kill the chosen live run")
        self.stop_button.setAccessibleName("Stop the chosen run")
        menu = QMenu(self.stop_button)
        menu.setToolTipsVisible(True)
        for action_id in ("run.pause", "run.resume", "run.stop", "run.abort", "run.kill"):
            menu.addAction(self._actions[action_id])
        self.stop_button.setMenu(menu)
        row.addWidget(self.stop_button)
        row.addStretch(1)
        self.show_ended = QCheckBox("Show ended")
        self.show_ended.setToolTip("List entries that have ended, newest first, below the waiting ones")
        self.show_ended.toggled.connect(self._on_show_ended)
        row.addWidget(self.show_ended)
        return row

    def _make_settings(self) -> QueueSettings:
        settings = QueueSettings()
        settings.policy_wanted.connect(self.commands.set_policy)
        settings.cpu_lanes_wanted.connect(self.commands.set_cpu_lanes)
        settings.stuck_minutes_wanted.connect(self.commands.set_stuck_minutes)
        return settings

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setAccessibleName("Queue")
        table.setModel(self.model)
        table.setItemDelegate(TwoLineDelegate(queue_cell, table))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setDragEnabled(True)
        table.setAcceptDrops(True)
        table.setDropIndicatorShown(True)
        table.setDragDropOverwriteMode(False)
        table.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        table.setDefaultDropAction(Qt.DropAction.MoveAction)
        table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(32)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._show_menu)
        table.selectionModel().selectionChanged.connect(self._on_selection)
        table.activated.connect(lambda index: self.show_wanted.emit(self.model.run_id_at(index.row())))
        return table

    def _make_empty(self) -> QWidget:
        holder = QWidget()
        picture = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        picture.setPixmap(icon("queue", "text_muted").pixmap(QSize(40, 40)))
        self._empty_text = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        set_role(self._empty_text, "muted")
        column = QVBoxLayout(holder)
        column.addStretch(2)
        column.addWidget(picture)
        column.addWidget(self._empty_text)
        column.addStretch(3)
        return holder

    def _refit(self, _theme: object = None) -> None:
        fit_rows(self.table)
        header, unit = self.table.horizontalHeader(), self.table.fontMetrics().averageCharWidth()
        header.setSectionResizeMode(RUN, QHeaderView.ResizeMode.Stretch)
        narrow = self.width() < 100 * unit
        for column, letters in ((POSITION, 6), (STATE, 24 if narrow else 26), (WAITS, 20), (LANE, 10), (PROGRESS, 16)):
            self.table.setColumnWidth(column, letters * unit)
        self.table.setColumnHidden(LANE, narrow)
        self.table.setColumnHidden(WAITS, self.width() < 76 * unit)

    # ------------------------------------------------------------------ events

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._refit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refit()
        self._run_seconds()

    def _later(self, _what: object = None) -> None:
        if not self._clock.isActive() and self._client.link is not Link.CLOSED:
            self._clock.start()

    def _on_link(self, link: Link) -> None:
        if link is Link.CLOSED:
            self._clock.stop()
            self._seconds.stop()
            self.settings.rest()
        self._later()

    def _on_show_ended(self, shown: bool) -> None:
        self.model.set_show_ended(shown)
        self._describe()

    def _flush(self) -> None:
        summaries = self._feeds.summaries
        self.model.set_state(
            self._client.state,
            {summary.run_id: (words.run_title(summary.name, summary.run_id), summary.state) for summary in summaries},
        )
        self._describe()
        self.chosen_changed.emit()

    def _on_selection(self, _new: object = None, _old: object = None) -> None:
        rows = self.chosen()
        self.stop_button.setEnabled(len(rows) == 1)
        self.chosen_changed.emit()
        if len(rows) == 1:
            self.current_changed.emit(rows[0].run_id)

    def _describe(self) -> None:
        state = self._client.state
        linked = self._client.is_connected
        live = sum(entry.state.is_live for entry in state.entries)
        waiting = sum(entry.state is RunState.QUEUED for entry in state.entries)
        hung = sum(map(stuck.entry_is_stuck, state.entries))
        text = f"{live} running · {waiting} waiting" + (f" · {hung} stuck" if hung else "")
        self._summary.setText(text if linked else "Not linked to the supervisor; shown as last known.")
        self._banner.setVisible(state.paused)
        self.pause_button.setText("Let it go on" if state.paused else "Pause the queue")
        self.pause_button.setIcon(icon("resume" if state.paused else "pause"))
        self.pause_button.setToolTip(self._actions["queue.pause"].toolTip())
        self.show_ended.setText(f"Show ended ({self.model.ended_count})")
        self.show_ended.setEnabled(self.model.ended_count > 0)
        self.settings.show_state(state, linked)
        self._describe_history(state.undo if linked else "", state.redo if linked else "")
        self._describe_stuck()
        self._run_seconds()
        self.stop_button.setIcon(icon("stop"))
        self.stop_button.setEnabled(len(self.chosen()) == 1)
        ended = self.model.ended_count
        self._empty_text.setText(
            "Nothing runs and nothing waits.\nChoose a method on the Launch page and press Start."
            + (f"\n{words.plural(ended, 'run')} ended; tick “Show ended” to see them." if ended else "")
        )
        self._stack.setCurrentWidget(self.table if self.model.rowCount() else self._empty)

    def _describe_history(self, undo: str, redo: str) -> None:
        """Undo and redo say what they would do; without a change they are off."""
        for action_id, word, change in (("queue.undo", "Undo", undo), ("queue.redo", "Redo", redo)):
            action = self._actions[action_id]
            said = change.replace("&", "&&")
            action.setText(f"{word} chan&ge: {said}" if change else f"{word} chan&ge")
            keys = keys_text(BY_ID[action_id])
            action.setToolTip(f"{word}: {change} ({keys})" if change else f"{BY_ID[action_id].help} ({keys})")
            action.setEnabled(bool(change))

    def _describe_stuck(self) -> None:
        self.stuck_banner.show_rows(self.model.rows() if self._client.is_connected else [], time.time())

    def _run_seconds(self) -> None:
        """Let countdowns go on while they are in view."""
        running = any(stuck.entry_is_stuck(entry) or counts_down(entry) for entry in self._client.state.entries)
        if running and self.isVisible():
            if not self._seconds.isActive():
                self._seconds.start()
        else:
            self._seconds.stop()

    def _on_second(self) -> None:
        # Noticed here and not in hideEvent: Qt still hides widgets while the interpreter is shutting down.
        if self.isVisible():
            self._describe_stuck()
            self.table.viewport().update()
        else:
            self._seconds.stop()

    def _show_menu(self, place: QPoint) -> None:
        if not self.table.indexAt(place).isValid():
            return
        menu = self._actions.context_menu(
            self,
            (
                "run.show", "", "queue.top", "queue.up", "queue.down", "queue.bottom", "", "queue.raise", "queue.lower", "",
                "queue.hold", "queue.edit", "queue.duplicate", "queue.remove", "", "queue.undo", "queue.redo", "",
                "run.pause", "run.resume", "run.stop", "run.abort", "run.kill",
            ),
        )  # fmt: skip
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.table.viewport().mapToGlobal(place))


def queue_cell(index: Index) -> Cell:
    """What a cell of the queue looks like."""
    row: QueueRow = index.data(RowRole)
    column = index.column()
    if column == POSITION:
        place = str(row.position) if row.position else ""
        return Cell(place, row.priority_text, centred=True, colour=current_theme().text_muted)
    if column == RUN:
        return Cell(row.title, words.kind_word(row.kind), strong=True)
    if column == STATE:
        theme = current_theme()
        marked = row.waits.held or row.is_stuck
        colour = theme.warning if marked else theme.bad if row.waits.broken else state_colour(row.state)
        return Cell(row.state_text, row.detail, icon=row.look, colour=colour)
    if column == LANE:
        lane = row.entry.on_lane or row.entry.lane
        return Cell("Any" if lane == "any" else lane_word(lane))
    if column == PROGRESS:
        if not row.progress.total:
            return Cell()
        left = words.duration(row.progress.seconds_left)
        return Cell(f"{100 * row.share_done:.0f} %", f"{left} left" if left else "", bar=row.share_done)
    return Cell(str(index.data() or ""), colour=current_theme().text_muted)
