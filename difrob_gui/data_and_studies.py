"""The Data and Studies pages in a window: what they read from, and what they ask of the other pages. Each is made when it is
first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from difrob_gui.data_work import DataWork
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.models.study_shelf import StudyShelf
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.toasts import Tone

if TYPE_CHECKING:
    from difrob_gui.main_window import MainWindow
    from difrob_gui.pages.data import DataPage
    from difrob_gui.pages.studies import StudiesPage

_TONES = {"info": Tone.INFO, "good": Tone.GOOD, "bad": Tone.BAD}


class DataAndStudies(QObject):
    """Makes both pages and holds them together with the window.

    Before a page is made nothing is chosen on it, so that none of its actions makes sense.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.shelf = DataShelf(window.feeds, self)
        self.study_shelf = StudyShelf(window.feeds, self)
        self.work = DataWork(window.workspace.root, parent=self)
        self._closing: list[Callable[[], None]] = []

    @cached_property
    def data(self) -> DataPage:
        """The Data page."""
        from difrob_gui.pages.data import DataPage

        page = DataPage(self._window.feeds, self.shelf, self.work)
        self._take(page)
        page.use_wanted.connect(self.use)
        page.begin()
        return page

    @cached_property
    def studies(self) -> StudiesPage:
        """The Studies page."""
        from difrob_gui.pages.studies import StudiesPage

        page = StudiesPage(self._window.feeds, self._window.client, self.study_shelf)
        self._take(page)
        page.compare_wanted.connect(self._compare)
        return page

    def _take(self, page: DataPage | StudiesPage) -> None:
        self._window.stacked(page)
        page.notice.connect(lambda text, tone, action: self._window.tell(text, _TONES[tone], action))
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
        bind = self._window.actions_table.bind
        bind("data.add", self.add)
        bind("data.use", lambda: self.use(self.data.current))
        bind("data.check", self._on_page("data", lambda: self.data.check()))
        bind("data.remove", self._on_page("data", lambda: self.data.remove()))
        bind("study.run", self._on_page("studies", lambda: self.studies.view.begin()))
        bind("study.continue", self._on_page("studies", lambda: self.studies.go_on()))
        bind("study.compare", lambda: self.studies.compare())
        self.enable()

    def enable(self) -> None:
        """Only what makes sense now can be chosen."""
        table = self._window.actions_table
        made = vars(self)  # where a cached property keeps its value once there is one
        table.enable("data", lambda action: "data" in made and self._data_allows(action))
        table.enable("study", lambda action: "studies" in made and self.studies.allows(action))

    def _data_allows(self, action: str) -> bool:
        return bool(self.data.current) if action == "data.use" else self.data.allows(action)

    def add(self, paths: list[str] | None = None) -> None:
        """Show the card for adding a data set."""
        self._window.show_page("data")
        self.data.add(paths)

    def use(self, name: str) -> None:
        """Fill a data set into a form: corrupted images into that of an evaluation, which takes them beside its classifier;
        points into that of a diffusion model; others into what is chosen there, or else that of a diffusion model."""
        record, launch = self.shelf.get(name), self._window.launch
        self._window.show_page("launch")
        field = "data.dataset"
        if record is not None and record.is_corrupted:
            field = "corruptions"
            launch.choose_kind("evaluate")
        elif (record is not None and record.is_points) or field not in launch.form.rows:
            launch.choose_kind("train_denoiser")
        row = launch.form.rows[field]
        row.set_value(name)
        row.edited.emit(row.path)
        launch.form.validate()
        row.editor.setFocus()

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
            if self._window.page != page:
                self._window.show_page(page)
            act()

        return handler

    def _compare(self, run_ids: list[str]) -> None:
        self._window.runs.model.set_checked_ids(run_ids)
        self._window.show_page("compare")
