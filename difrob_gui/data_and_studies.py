"""The Data and Studies pages: what they read from, their actions, and what they ask of the other pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from difrob_gui.actions import ActionTable
from difrob_gui.client import SupervisorClient
from difrob_gui.data_work import DataWork
from difrob_gui.feeds import FeedHub
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.models.study_shelf import StudyShelf
from difrob_gui.pages.data import DataPage
from difrob_gui.pages.studies import StudiesPage
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.toasts import Tone

_TONES = {"info": Tone.INFO, "good": Tone.GOOD, "bad": Tone.BAD}


class DataAndStudies(QObject):
    """Makes both pages and holds them together.

    Signals:
        notice: ``(text, Tone, (label, function) or None)``.
        page_wanted: the page of this name should be on show.
        use_wanted: the data set of this name should be filled into a form.
        compare_wanted: these runs should be seen side by side.
    """

    notice = Signal(str, object, object)
    page_wanted = Signal(str)
    use_wanted = Signal(str)
    compare_wanted = Signal(list)

    def __init__(
        self,
        feeds: FeedHub,
        client: SupervisorClient,
        actions: ActionTable,
        root: Path,
        parent: QObject | None = None,
    ) -> None:
        """Nothing is read yet; ``root`` is the folder of the workspace."""
        super().__init__(parent)
        self._actions = actions
        self.shelf = DataShelf(feeds, self)
        self.work = DataWork(root, parent=self)
        self.data = DataPage(feeds, self.shelf, self.work)
        self.studies = StudiesPage(feeds, client, StudyShelf(feeds, self))
        for page in (self.data, self.studies):
            page.notice.connect(lambda text, tone, action: self.notice.emit(text, _TONES[tone], action))
            page.changed.connect(self.enable)
        self.data.use_wanted.connect(self.use_wanted)
        self.studies.compare_wanted.connect(self.compare_wanted)

    def start(self) -> None:
        """Read the data sets, for the forms to know them; studies are read when their page is first shown."""
        self.data.begin()

    def close(self) -> None:
        """The window closes."""
        self.data.close_down()
        self.studies.close_down()

    def refresh(self, page: str = "") -> None:
        """Read again what a page shows; both when none is named."""
        if page in ("", "data", "launch"):
            self.shelf.refresh()
        if page in ("", "studies"):
            self.studies.begin_reading()

    def bind(self) -> None:
        """Give the actions of both pages their handlers."""
        bind = self._actions.bind
        bind("data.add", self.add)
        bind("data.use", lambda: self.use_wanted.emit(self.data.current))
        bind("data.check", self._on_page("data", self.data.check))
        bind("data.remove", self._on_page("data", self.data.remove))
        bind("study.run", self._on_page("studies", self.studies.view.begin))
        bind("study.continue", self._on_page("studies", self.studies.go_on))
        bind("study.compare", self.studies.compare)
        self.enable()

    def enable(self) -> None:
        """Only what makes sense now can be chosen."""
        self._actions.enable(
            "data", lambda action: bool(self.data.current) if action == "data.use" else self.data.allows(action)
        )
        self._actions.enable("study", self.studies.allows)

    def add(self, paths: list[str] | None = None) -> None:
        """Show the card for adding a data set."""
        self.page_wanted.emit("data")
        self.data.add(paths)

    def drag_enter(self, event: QDragEnterEvent) -> None:
        """Files may be dropped anywhere on the window."""
        if dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def drop(self, event: QDropEvent) -> None:
        """Dropped files are offered as a data set."""
        paths = dropped_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.add(paths)

    def _on_page(self, page: str, act: Callable[[], None]) -> Callable[[], None]:
        """What is done to the chosen thing of a page is done in its sight."""

        def handler() -> None:
            self.page_wanted.emit(page)
            act()

        return handler
