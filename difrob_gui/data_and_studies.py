"""The Data and Studies pages: what they read from, their actions, and what they ask of the other pages.

Each is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from difrob_gui.actions import ActionTable
from difrob_gui.client import SupervisorClient
from difrob_gui.data_work import DataWork
from difrob_gui.feeds import FeedHub
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.models.study_shelf import StudyShelf
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.toasts import Tone

if TYPE_CHECKING:
    from difrob_gui.pages.data import DataPage
    from difrob_gui.pages.studies import StudiesPage

_TONES = {"info": Tone.INFO, "good": Tone.GOOD, "bad": Tone.BAD}


class DataAndStudies(QObject):
    """Makes both pages and holds them together.

    Before a page is made nothing is chosen on it, so that none of its actions makes sense.

    Signals:
        made: this page was just made, and wants a place among the others.
        notice: ``(text, Tone, (label, function) or None)``.
        page_wanted: the page of this name should be on show.
        use_wanted: the data set of this name should be filled into a form.
        compare_wanted: these runs should be seen side by side.
    """

    made = Signal(object)
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
        self._feeds, self._client, self._actions = feeds, client, actions
        self._closing: list[Callable[[], None]] = []
        self.shelf = DataShelf(feeds, self)
        self.work = DataWork(root, parent=self)
        self.study_shelf = StudyShelf(feeds, self)

    @cached_property
    def data(self) -> DataPage:
        """The Data page."""
        from difrob_gui.pages.data import DataPage

        page = DataPage(self._feeds, self.shelf, self.work)
        self._take(page)
        page.use_wanted.connect(self.use_wanted)
        page.begin()
        return page

    @cached_property
    def studies(self) -> StudiesPage:
        """The Studies page."""
        from difrob_gui.pages.studies import StudiesPage

        page = StudiesPage(self._feeds, self._client, self.study_shelf)
        self._take(page)
        page.compare_wanted.connect(self.compare_wanted)
        return page

    def _take(self, page: DataPage | StudiesPage) -> None:
        self.made.emit(page)
        page.notice.connect(lambda text, tone, action: self.notice.emit(text, _TONES[tone], action))
        page.changed.connect(self.enable)
        self._closing.append(page.close_down)

    def start(self) -> None:
        """Read the data sets, for the forms to know them; studies are read when their page is first shown."""
        self.shelf.refresh()

    def close(self) -> None:
        """The window closes."""
        for close_down in self._closing:
            close_down()

    def refresh(self, page: str = "") -> None:
        """Read again what a page shows; both when none is named."""
        if page in ("", "data", "launch"):
            self.shelf.refresh()
        if page in ("", "studies"):
            self.study_shelf.refresh()
        self.enable()  # a page that was just made has chosen its first row

    def bind(self) -> None:
        """Give the actions of both pages their handlers."""
        bind = self._actions.bind
        bind("data.add", self.add)
        bind("data.use", lambda: self.use_wanted.emit(self.data.current))
        bind("data.check", self._on_page("data", lambda: self.data.check()))
        bind("data.remove", self._on_page("data", lambda: self.data.remove()))
        bind("study.run", self._on_page("studies", lambda: self.studies.view.begin()))
        bind("study.continue", self._on_page("studies", lambda: self.studies.go_on()))
        bind("study.compare", lambda: self.studies.compare())
        self.enable()

    def enable(self) -> None:
        """Only what makes sense now can be chosen."""
        made = vars(self)  # where a cached property keeps its value once there is one
        self._actions.enable("data", lambda action: "data" in made and self._data_allows(action))
        self._actions.enable("study", lambda action: "studies" in made and self.studies.allows(action))

    def _data_allows(self, action: str) -> bool:
        return bool(self.data.current) if action == "data.use" else self.data.allows(action)

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
