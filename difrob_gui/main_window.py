"""The main window: runs at the left, pages at the right, and the threads of news that hold them together.

A page is made, and its module imported, when somebody first asks for it: a window that shows its table of runs does not wait
for charts that nobody looks at yet. A page takes what has happened before from the hub and the mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import QMainWindow, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from difrob import words
from difrob.runs import RunState, Workspace
from difrob.worker.messages import Entry
from difrob_gui.actions import ACTIONS, BY_ID, ActionTable
from difrob_gui.auto_turn import AutoTurn
from difrob_gui.client import Link, SupervisorClient
from difrob_gui.data_and_studies import DataAndStudies
from difrob_gui.endings import Endings
from difrob_gui.feeds import FeedHub
from difrob_gui.models.run_row import RunRow
from difrob_gui.pages.queue import QueuePage
from difrob_gui.run_commands import RunCommands
from difrob_gui.runs_news import RunsNews
from difrob_gui.theme import icon
from difrob_gui.widgets.command_palette import CommandPalette
from difrob_gui.widgets.nav_bar import NavBar
from difrob_gui.widgets.run_picker import RunOption
from difrob_gui.widgets.runs_panel import RunsPanel
from difrob_gui.widgets.status_strip import StatusStrip
from difrob_gui.widgets.toasts import ToastArea, Tone, Way
from difrob_gui.window_dialogs import palette_commands

if TYPE_CHECKING:
    from difrob_gui.pages.compare import ComparePage
    from difrob_gui.pages.help import HelpPage
    from difrob_gui.pages.launch import LaunchPage
    from difrob_gui.pages.monitor import MonitorPage

Page = TypeVar("Page", bound=QWidget)
COMPARE_MS = 250


class MainWindow(QMainWindow):
    """One window on one workspace. It owns its link and its reader, and no run.

    Its actions have handlers, and it looks as it was left, once :func:`difrob_gui.app.compose_window` has put it together.

    Signals:
        seen: it has come onto the screen.
        closing: it is about to let go of everything, and still has it.
    """

    seen = Signal()
    closing = Signal()

    def __init__(self, workspace: Workspace, *, autostart: bool = True) -> None:
        """Build everything; news starts with :meth:`start`.

        Args:
            workspace: the workspace to show.
            autostart: whether a supervisor is started when none runs.
        """
        super().__init__()
        self.workspace = workspace
        self._closing = False
        self._options_stale = True
        self.page = ""
        """Name of the page on show."""
        self.setWindowTitle(f"difrob: {workspace.root.name}")
        self.setWindowIcon(icon("difrob", "accent"))
        self.setMinimumSize(860, 560)
        self.setAcceptDrops(True)

        self.feeds = FeedHub(workspace, self)
        self.client = SupervisorClient(workspace.socket_path, workspace.root, autostart=autostart, parent=self)
        self.actions_table = ActionTable(self)
        self.runs = RunsPanel()
        self.commands = RunCommands(workspace, self.feeds, self.client, lambda: self.runs.current, self)
        self.endings = Endings(self.client, self.show_run, self)
        self.auto_turn = AutoTurn(self.client, self.show_run, self)
        self._build()
        self.toasts = ToastArea(self.centralWidget())
        self.palette_sheet = CommandPalette(self.centralWidget())
        self.news = RunsNews(self.feeds, self.client, self.runs, self.status, self.nav, self.actions_table, self)
        self._compare_clock = QTimer(self, singleShot=True, interval=COMPARE_MS)
        self._compare_clock.timeout.connect(self._show_checked)
        self._connect()

    def start(self) -> None:
        """Look for the supervisor, and for data sets and studies."""
        self.client.open()
        self.more.start()

    # ------------------------------------------------------------------ pages

    def show_page(self, name: str) -> None:
        """Show ``launch``, ``queue``, ``monitor``, ``compare``, ``studies``, ``data`` or ``help``."""
        focused = self.focusWidget()
        page = self.pages[name]()
        self.page = name
        self._stack.setCurrentWidget(page)
        if focused is None or not self.runs.isAncestorOf(focused):
            page.setFocus()
        action = f"view.{name}"
        for info in ACTIONS:
            if info.choice == "page":
                self.actions_table[info.id].setChecked(info.id == action)
        if name == "monitor" and self.runs.current is not None:
            self.show_current()
        elif name == "monitor" and (newest := self._newest()):
            self.show_run(newest)
        elif name == "compare":
            self._show_checked()
        elif name == "launch":
            self._update_options()
        self.more.refresh(name)
        self._enable()

    @property
    def page_names(self) -> tuple[str, ...]:
        """Names of all pages."""
        return tuple(self.pages)

    def show_current(self) -> None:
        """Let the Monitor page, if it is on show, show the current run, if there is one."""
        if self.page == "monitor" and self.runs.current is not None:
            self.monitor.show_run(self.runs.current.run_id)

    def show_run(self, run_id: str) -> None:
        """Show a run on the Monitor page."""
        self.runs.select(run_id)
        self.monitor.show_run(run_id)
        if self.page != "monitor":
            self.show_page("monitor")

    def compare(self) -> None:
        """Show the ticked runs, or the current one when none is ticked."""
        row = self.runs.current
        if not self.runs.model.checked_ids() and row is not None:
            self.runs.model.set_checked_ids([row.run_id])
        self.show_page("compare")

    def duplicate(self, run_id: str = "") -> None:
        """Fill the Launch page with the settings of a run; by default the current one."""
        row = self.runs.model.row(run_id) if run_id else self.runs.current
        if row is not None:
            self.show_page("launch")
            self.launch.duplicate(row.spec, row.title)

    def new_run(self) -> None:
        """Go to the first setting of the Launch page."""
        self.show_page("launch")
        self.launch.form.focus_first()

    def start_run(self) -> None:
        """Submit what the Launch page shows, if it is seen; else show it first."""
        if self.page == "launch":
            self.launch.start()
        else:
            self.show_page("launch")

    def find_run(self) -> None:
        """Go to the search box above the runs."""
        self.show_panel(True)
        self.runs.focus_search()

    def follow(self, on: bool) -> None:
        """Let the Monitor page turn to each run as it begins, or leave it alone."""
        self.auto_turn.turn(on)
        self.actions_table["view.follow"].setChecked(on)

    def toggle_follow(self) -> None:
        """Let the Monitor page turn to each run as it begins, or leave it alone, whichever it does not do now."""
        self.follow(not self.auto_turn.is_on)

    def show_palette(self) -> None:
        """Show all actions and runs by name, to be found by a few letters."""
        self.palette_sheet.open(palette_commands(self.actions_table, self.runs.model.rows(), self.show_run))

    def refresh(self) -> None:
        """Read runs, presets, data sets and studies anew."""
        self.feeds.reload()
        self.more.refresh()

    def show_panel(self, shown: bool) -> None:
        """Show or hide the table of runs."""
        self.runs.setVisible(shown)
        self.actions_table["view.runs_panel"].setChecked(shown)

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self._stack = QStackedWidget()
        self.queue = self.stacked(QueuePage(self.feeds, self.client, self.actions_table))  # its keys work everywhere
        self.more = DataAndStudies(self.feeds, self.client, self.actions_table, self.workspace.root, self)
        self.more.made.connect(self.stacked)
        self.pages: dict[str, Callable[[], QWidget]] = {
            "launch": lambda: self.launch, "queue": lambda: self.queue, "monitor": lambda: self.monitor,
            "compare": lambda: self.compare_page, "studies": lambda: self.more.studies, "data": lambda: self.more.data,
            "help": lambda: self.help,
        }  # fmt: skip
        """What gives the page of a name, making it if need be."""
        self.nav = NavBar(self.actions_table)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.nav)
        column.addWidget(self._stack, 1)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(6)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.runs)
        self.splitter.addWidget(right)
        self.splitter.setStretchFactor(1, 1)
        central = QWidget()  # notices and the palette lie over it; a splitter would take them for panes
        whole = QVBoxLayout(central)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)
        self.setCentralWidget(central)
        self.actions_table.fill_menu_bar(self.menuBar())
        self.status = StatusStrip()
        self.statusBar().addPermanentWidget(self.status, 1)
        self.statusBar().setSizeGripEnabled(False)

    def stacked(self, page: Page) -> Page:
        """Put a page that was just made among the others."""
        page.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._stack.addWidget(page)
        return page

    @cached_property
    def launch(self) -> LaunchPage:
        """The Launch page."""
        from difrob_gui.pages.launch import LaunchPage

        page = self.stacked(LaunchPage(self.feeds, self.client))
        page.submitted.connect(self._on_submitted)
        page.saved.connect(self._on_saved)
        page.failed.connect(lambda text: self.tell(text, Tone.BAD))
        page.set_data_sets(self.more.shelf.records)
        self.more.shelf.changed.connect(lambda: page.set_data_sets(self.more.shelf.records))
        return page

    @cached_property
    def monitor(self) -> MonitorPage:
        """The Monitor page."""
        from difrob_gui.pages.monitor import MonitorPage

        page = self.stacked(MonitorPage(self.feeds, self.client))
        page.anew_wanted.connect(self.duplicate)
        page.failed.connect(lambda text: self.tell(text, Tone.BAD))
        return page

    @cached_property
    def compare_page(self) -> ComparePage:
        """The Compare page."""
        from difrob_gui.pages.compare import ComparePage

        return self.stacked(ComparePage(self.feeds, self.client))

    @cached_property
    def help(self) -> HelpPage:
        """The page of keys and actions."""
        from difrob_gui.pages.help import HelpPage

        return self.stacked(HelpPage())

    def _connect(self) -> None:
        self.news.shown.connect(self._on_news)
        self.feeds.failed.connect(self._on_read_failure)
        client = self.client
        client.meters_changed.connect(lambda: self.status.show_meters(client.mirror.meters))
        client.link_changed.connect(self._on_link)
        client.call_failed.connect(lambda name, error: self.tell(f"“{name}” failed: {error}", Tone.BAD))
        self.status.reconnect_wanted.connect(client.open)
        self.endings.notice.connect(self.tell)
        self.endings.ended.connect(lambda _run_id: self.feeds.refresh())
        self.commands.notice.connect(self.tell)
        self.commands.removed.connect(self._on_removed)
        self.queue.commands.notice.connect(lambda text, undo: self.tell(text, Tone.INFO, undo))
        self.queue.commands.failed.connect(lambda text: self.tell(text, Tone.BAD))
        self.queue.chosen_changed.connect(self._enable)
        self.queue.current_changed.connect(self.runs.select)
        self.queue.show_wanted.connect(self.show_run)
        self.queue.edit_wanted.connect(self._edit_entry)
        self.runs.current_changed.connect(self._on_current)
        self.runs.activated.connect(self.show_run)
        self.runs.compare_wanted.connect(self.compare)
        self.runs.model.checked_changed.connect(self._on_checked)
        self.more.notice.connect(self.tell)
        self.more.page_wanted.connect(self._turn_to)
        self.more.use_wanted.connect(self._use_data_set)
        self.more.compare_wanted.connect(self._compare_these)

    # ------------------------------------------------------------------ news

    def flush(self) -> None:
        """Bring the table of runs up to date now."""
        self.news.flush()

    def _on_news(self, listed: bool) -> None:
        if listed:
            self._options_stale = True
            if self.page == "launch":
                self._update_options()
        self._enable()

    def _on_link(self, link: Link) -> None:
        self.status.show_link(link, self.client.reason)
        if link is Link.FAILED and not self.status.is_calm:
            self.tell(
                f"No link to the supervisor: {self.client.reason}. 'difrob serve' starts one by hand.",
                Tone.WARNING,
                ("Try again", self.client.open),
            )

    def _on_current(self, run_id: str) -> None:
        if run_id and self.page == "monitor":
            self.monitor.show_run(run_id)
        self._enable()

    def _on_removed(self, run_id: str) -> None:
        if "monitor" in vars(self) and self.monitor.run_id == run_id:
            self.monitor.show_nothing()

    def _on_checked(self, _run_ids: list[str]) -> None:
        if self.page == "compare":
            self._compare_clock.start()
        self._enable()

    def _show_checked(self) -> None:
        self.compare_page.show_runs(self.runs.model.checked_ids())

    def _on_submitted(self, run_ids: list[str]) -> None:
        if run_ids:
            self.runs.select(run_ids[0])
        text = f"{words.plural(len(run_ids), 'run')} submitted."
        self.tell(text, Tone.GOOD, ("Show queue", lambda: self.show_page("queue")))

    def _on_saved(self, run_id: str) -> None:
        self.show_page("queue")
        self.queue.select([run_id])
        self.tell("The entry was changed.", Tone.GOOD)

    def _on_read_failure(self, run_id: str, message: str) -> None:
        if not run_id:  # what is wrong with one run stands on the page that shows it
            self.tell(message[:1].upper() + message[1:], Tone.WARNING)

    def tell(self, text: str, tone: Tone = Tone.INFO, action: Way | None = None) -> None:
        """Show a notice; ``action`` is ``(label, function)`` or None."""
        self.toasts.show_toast(text, tone, action)

    def tell_crash(self, text: str) -> None:
        """Tell of an error in the window itself."""
        self.tell(
            f"Something went wrong in the window ({text}). Runs are not touched; details are in window.log.", Tone.BAD
        )

    # ------------------------------------------------------------------ small things

    def _enable(self) -> None:
        """Only what makes sense now can be chosen; a run that waits is not stopped but taken from the queue."""
        waits = self.runs.current is not None and self.runs.current.state is RunState.QUEUED
        self.actions_table["run.stop"].setText("&Cancel — leaves the queue" if waits else BY_ID["run.stop"].text)
        self.actions_table.enable("run", self.commands.allows)
        self.actions_table.enable("entry", self.queue.commands.allows)
        self.actions_table["run.compare"].setEnabled(
            bool(self.runs.model.checked_ids()) or self.runs.current is not None
        )

    def _update_options(self) -> None:
        if self._options_stale:
            self._options_stale = False
            self.launch.set_run_options([_option(row) for row in self.runs.model.rows()])

    def _newest(self) -> str:
        rows = sorted(self.runs.model.rows(), key=lambda row: (row.state.is_live, row.created))
        return rows[-1].run_id if rows else ""

    def _turn_to(self, page: str) -> None:
        if self.page != page:
            self.show_page(page)

    def _use_data_set(self, name: str) -> None:
        self.show_page("launch")
        self.launch.use_data_set(name)

    def _compare_these(self, run_ids: list[str]) -> None:
        self.runs.model.set_checked_ids(run_ids)
        self.show_page("compare")

    def _edit_entry(self, entry: Entry, title: str) -> None:
        self.show_page("launch")
        self.launch.edit(entry, title)

    # ------------------------------------------------------------------ events

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.seen.emit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        self.more.drag_enter(event)

    def dropEvent(self, event: QDropEvent) -> None:
        self.more.drop(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Let go of supervisor and reader; runs go on."""
        if not self._closing:
            self._closing = True
            self.closing.emit()
            self.news.close()
            self._compare_clock.stop()
            self.toasts.clear()
            self.more.close()
            self.client.close()
            self.feeds.close()
        super().closeEvent(event)


def _option(row: RunRow) -> RunOption:
    result = ""
    if row.state is RunState.FINISHED and row.result is not None:
        result = words.number(row.result.value, row.result.unit)
    return RunOption(row.run_id, row.kind, row.title, row.state, row.created, result)
