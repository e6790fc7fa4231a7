"""The studies that come with difrob and those begun in the workspace, read and worked out in the reader thread.

The modules that decide load SciPy, so they are imported there and not when the window opens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob_gui.feeds import FeedHub

if TYPE_CHECKING:
    from difrob.studies.declaration import Study
    from difrob.studies.report import Report
    from difrob.studies.study_records import StudyRecord

    Begun = Callable[[StudyRecord | None, str | None], None]


@dataclass(frozen=True)
class Shown:
    """A study in the table: shipped, or begun when it has a record.

    Attributes:
        key: tells it from all others.
        study: the declaration.
        runs: how many runs it needs.
        record: what was written when it was begun.
        is_changed: whether the shipped declaration is another one by now.
    """

    key: str
    study: Study
    runs: int
    record: StudyRecord | None = None
    is_changed: bool = False

    @property
    def run_ids(self) -> list[str]:
        """The runs of a study that was begun."""
        return list(self.record.plan.entries) if self.record is not None else []


@dataclass(frozen=True)
class StudyList:
    """All studies; ``problems`` says what could not be read."""

    begun: list[Shown] = field(default_factory=list)
    shipped: list[Shown] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def all(self) -> list[Shown]:
        """Those begun first, newest on top."""
        return [*self.begun, *self.shipped]


class StudyShelf(QObject):
    """Reads the list on request, and works out reports.

    Signals:
        changed: the list was read.
        reported: ``(key, Report or None, why not)``.
    """

    changed = Signal()
    reported = Signal(str, object, str)

    def __init__(self, feeds: FeedHub, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._feeds = feeds
        self._reading = False
        self.studies = StudyList()
        self.is_read = False

    def refresh(self) -> None:
        """Read the list."""
        if not self._reading:
            self._reading = True
            self._feeds.submit(self, read_studies, self._on_read)

    def get(self, key: str) -> Shown | None:
        """The study of this key."""
        return next((shown for shown in self.studies.all() if shown.key == key), None)

    def report(self, shown: Shown) -> None:
        """Work out how a study that was begun stands; :attr:`reported` follows."""
        record = shown.record
        assert record is not None

        def done(result: Report | None, error: str | None) -> None:
            self.reported.emit(shown.key, result, error or "")

        self._feeds.submit(self, lambda workspace: work_out(workspace, record), done)

    def begin(self, study: Study, seeds: tuple[int, ...], done: Begun) -> None:
        """Write down what will be decided; ``done(StudyRecord or None, error or None)`` follows, and nothing runs yet."""
        self._feeds.submit(self, lambda workspace: write_down(workspace, study, seeds), done)

    def _on_read(self, result: StudyList | None, error: str | None) -> None:
        self._reading = False
        self.is_read = True
        self.studies = result if result is not None else StudyList(problems=[error or ""])
        self.changed.emit()


def read_studies(workspace: Workspace) -> StudyList:
    """All studies. A declaration that cannot be read is told of and left out."""
    from difrob.resources import resource_path
    from difrob.studies.study_records import is_unchanged, study_records

    shipped: dict[str, Shown] = {}
    problems = []
    for path in sorted(resource_path("studies").glob("*.json")):
        try:
            shown = _shipped(path, path.stat().st_mtime_ns)
            shipped[shown.study.name] = shown
        except (UserError, OSError) as error:
            problems.append(str(error))
    begun = []
    for record in study_records(workspace):
        today = shipped.get(record.study.name)
        changed = today is not None and not is_unchanged(record, today.study)
        begun.append(Shown(record.study_id, record.study, len(record.plan.entries), record, changed))
    return StudyList(begun, list(shipped.values()), problems)


@lru_cache(maxsize=256)
def _shipped(path: Path, _changed: int) -> Shown:
    """A declaration, planned once for as long as its file stays as it is: planning takes a twentieth of a second."""
    from difrob.studies.declaration import read_study
    from difrob.studies.plan import plan_study

    study = read_study(path)
    return Shown(f"shipped {study.name}", study, len(plan_study(study).entries))


def work_out(workspace: Workspace, record: StudyRecord) -> Report:
    """How a study stands, from the files of its runs."""
    from difrob.studies.report import report_on

    return report_on(workspace, record)


def write_down(workspace: Workspace, study: Study, seeds: tuple[int, ...]) -> StudyRecord:
    """Plan a study with these seeds and make its record durable."""
    from difrob.studies.plan import plan_study
    from difrob.studies.study_records import begin

    chosen = study.model_copy(update={"seeds": seeds})
    return begin(workspace, chosen, plan_study(chosen))
