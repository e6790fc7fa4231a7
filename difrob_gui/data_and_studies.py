"""The Data and Studies pages in a window: what they read from, and what they ask of the other pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QDragEnterEvent, QDropEvent

from difrob.runs.datasets import DataSetRecord
from difrob.specs import KINDS, walk_fields
from difrob.specs.takes import data_set_use
from difrob_gui.data_work import DataWork
from difrob_gui.models.data_shelf import DataShelf
from difrob_gui.models.study_shelf import StudyShelf
from difrob_gui.pages.data import DataPage
from difrob_gui.pages.studies import StudiesPage
from difrob_gui.widgets.file_drop import dropped_paths
from difrob_gui.widgets.toasts import Tone

if TYPE_CHECKING:
    from difrob_gui.main_window import MainWindow

_TONES = {"info": Tone.INFO, "good": Tone.GOOD, "bad": Tone.BAD}


class DataAndStudies(QObject):
    """Makes both pages and holds them together with the window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.shelf = DataShelf(window.feeds, self)
        self.work = DataWork(window.workspace.root, parent=self)
        self.data = DataPage(window.feeds, self.shelf, self.work)
        self.studies = StudiesPage(window.feeds, window.client, StudyShelf(window.feeds, self))
        for page in (self.data, self.studies):
            page.notice.connect(lambda text, tone, action: window.tell(text, _TONES[tone], action))
            page.changed.connect(self.enable)
        self.data.use_wanted.connect(self.use)
        self.studies.compare_wanted.connect(self._compare)

    def start(self) -> None:
        """Read the data sets, for the forms to know them; studies are read when their page is first shown."""
        self.shelf.changed.connect(lambda: self._window.launch.set_data_sets(self.shelf.records))
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
        bind = self._window.actions_table.bind
        bind("data.add", self.add)
        bind("data.use", lambda: self.use(self.data.current))
        bind("data.check", self._on_page("data", self.data.check))
        bind("data.remove", self._on_page("data", self.data.remove))
        bind("study.run", self._on_page("studies", self.studies.view.begin))
        bind("study.continue", self._on_page("studies", self.studies.go_on))
        bind("study.compare", self.studies.compare)
        self.enable()

    def enable(self) -> None:
        """Only what makes sense now can be chosen."""
        table = self._window.actions_table
        table.enable(
            "data", lambda action: bool(self.data.current) if action == "data.use" else self.data.allows(action)
        )
        table.enable("study", self.studies.allows)

    def add(self, paths: list[str] | None = None) -> None:
        """Show the card for adding a data set."""
        self._window.show_page("data")
        self.data.add(paths)

    def use(self, name: str) -> None:
        """Fill a data set into the form that is chosen, or else into the first one that takes it: corrupted images into that
        of an evaluation, which takes them beside its classifier; points into that of a diffusion model."""
        record, launch = self.shelf.get(name), self._window.launch
        self._window.show_page("launch")
        kind, field = field_for(record, launch.kind)
        launch.choose_kind(kind)
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


def field_for(record: DataSetRecord | None, chosen: str) -> tuple[str, str]:
    """The first field that takes a data set: of the chosen kind of job, or else of any; (kind, dotted path)."""
    fields = ((kind, path, data_set_use(info)) for kind in (chosen, *KINDS) for path, info in walk_fields(KINDS[kind]))
    return next((kind, path) for kind, path, use in fields if use and not (record and record.unfit_for(use)))
