"""Pictures of the real window on a workspace, for documentation and for looking at it.

``python -m difrob_gui.screenshots --workspace DIR --out DIR [--theme light|dark|contrast|both] [--scale 1|2]``
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from difrob.errors import UserError
from difrob.specs import KINDS, JobSpec, kinds_holding, trains, walk_fields
from difrob.specs.takes import CLASSIFIER, held_by

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from difrob.runs import Workspace
    from difrob_gui.main_window import MainWindow

PAGES = ("launch", "queue", "monitor", "compare", "studies", "data")
PATIENCE_MS = 15_000
PAINT_MS = 30_000
SETTLE_MS = 900
STEP_MS = 100
SHOWN_KIND = kinds_holding(CLASSIFIER)[0]


def main() -> int:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m difrob_gui.screenshots", description=__doc__)
    parser.add_argument("--workspace", required=True, metavar="DIR")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--theme", choices=("light", "dark", "contrast", "both"), default="both")
    parser.add_argument("--scale", choices=("1", "2"), default="1")
    parser.add_argument("--size", default="1280x800", metavar="WxH", help="size of the window in logical pixels")
    parser.add_argument("--pages", default=",".join(PAGES), help=f"some of {','.join(PAGES)}")
    parser.add_argument(
        "--monitor", metavar="RUN", help="run on the Monitor page, by name or id; by default the newest training"
    )
    parser.add_argument(
        "--compare",
        metavar="RUN",
        action="append",
        help="a run on the Compare page, by name or id; may be given several times",
    )
    parser.add_argument("--kind", choices=list(KINDS), default=SHOWN_KIND, help="form on the Launch page")
    parser.add_argument("--data", metavar="NAME", help="data set on the Data page; by default the first")
    options = parser.parse_args()
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["QT_SCALE_FACTOR"] = options.scale
    width, _, height = options.size.partition("x")
    wish = Wish(
        themes=("light", "dark") if options.theme == "both" else (options.theme,),
        size=(int(width), int(height)),
        pages=tuple(page for page in options.pages.split(",") if page),
        monitor=options.monitor or "",
        compare=tuple(options.compare or ()),
        kind=options.kind,
        data=options.data or "",
    )
    try:
        for path in take(Path(options.workspace), Path(options.out), wish):
            print(path)
    except UserError as error:
        print(f"difrob: {error}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class Wish:
    """What pictures are wanted."""

    themes: tuple[str, ...] = ("light", "dark")
    size: tuple[int, int] = (1280, 800)
    pages: tuple[str, ...] = PAGES
    monitor: str = ""
    compare: tuple[str, ...] = ()
    kind: str = SHOWN_KIND
    data: str = ""


def take(workspace_folder: Path, out: Path, wish: Wish) -> list[Path]:
    """Open the window in each theme, and save a picture of each page; returns their paths.

    Raises:
        UserError: when there is no such workspace, page, run or data set, when a page is not painted in time, or when the
            pictures cannot be written.
    """
    from PySide6.QtCore import QCoreApplication, QEvent
    from PySide6.QtWidgets import QApplication

    from difrob.runs import Workspace
    from difrob_gui.app import compose_window
    from difrob_gui.settings import WindowSettings

    if unknown := set(wish.pages) - set(PAGES):
        raise UserError(f"there is no page '{sorted(unknown)[0]}'; pages are {', '.join(PAGES)}")
    workspace = Workspace(workspace_folder, create=False)
    wish = _resolved(wish, workspace)
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder '{out}': {error.strerror}") from None
    paths: list[Path] = []
    for theme in wish.themes:
        with tempfile.TemporaryDirectory() as folder:
            settings = WindowSettings(Path(folder) / "window.ini")
            window = compose_window(workspace, settings, autostart=False, theme=theme)
            try:
                window.resize(*wish.size)
                window.show()
                window.start()
                paths += _Tour(window, out, theme, wish).walk(app)
            finally:
                window.close()
                window.deleteLater()
                QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return paths


def _resolved(wish: Wish, workspace: Workspace) -> Wish:
    """The same with ids in place of the names of runs. Raises UserError for runs and data sets that there are not."""
    if wish.data:
        workspace.data_set(wish.data)
    return replace(
        wish,
        monitor=workspace.find(wish.monitor) if wish.monitor else "",
        compare=tuple(dict.fromkeys(workspace.find(name) for name in wish.compare)),
    )


def unfinished(window: MainWindow, compared: Collection[str]) -> str:
    """What the page on show still waits for, as the end of a sentence; empty when all that can be seen is painted."""
    from difrob_gui.charts.chart import Chart

    page = window.page
    if page == "monitor" and not window.monitor.is_read:
        return f"run '{window.monitor.run_id}' is still being read"
    if page == "compare" and set(compared) != set(window.compare_page.runs.run_ids):
        return "the runs to compare are not shown yet"
    if page == "compare" and (unread := window.compare_page.unread):
        return f"run '{unread[0]}' is still being read"
    behind = [chart.title for chart in window.findChildren(Chart) if chart.is_behind]
    return f"the chart '{behind[0]}' is still to be painted" if behind else ""


class _Tour:
    """Walks through the pages inside the event loop, one step at a time."""

    def __init__(self, window: MainWindow, out: Path, theme: str, wish: Wish) -> None:
        self._window = window
        self._out = out
        self._theme = theme
        self._wish = wish
        self._paths: list[Path] = []
        self._error: BaseException | None = None

    def walk(self, app: QApplication) -> list[Path]:
        """Take the pictures; returns their paths."""
        from PySide6.QtCore import QTimer

        steps = self._steps()
        clock = QTimer(singleShot=True)

        def step() -> None:
            try:
                clock.start(next(steps))
            except StopIteration:
                app.quit()
            except BaseException as error:
                self._error = error
                app.quit()

        clock.timeout.connect(step)
        clock.start(0)
        app.exec()
        if self._error is not None:
            raise self._error
        return self._paths

    def _steps(self) -> Iterator[int]:
        window, waited = self._window, 0
        more = window.more
        more.refresh()
        while (
            not (window.feeds.is_complete and more.shelf.is_read and more.studies.shelf.is_read)
            and waited < PATIENCE_MS
        ):
            yield STEP_MS
            waited += STEP_MS
        yield SETTLE_MS
        rows = window.runs.model.rows()
        trainings = [row for row in rows if trains(row.kind) and row.has_file] or rows
        newest = max(trainings, key=lambda row: row.created).run_id if trainings else ""
        classifiers = kinds_holding(CLASSIFIER)
        judged = {kind for kind, spec in KINDS.items() if not spec.holds and _needs_a_run_of(spec, CLASSIFIER)}
        measured = [row.run_id for row in rows if row.kind in judged]
        compared = list(self._wish.compare) or measured or [row.run_id for row in rows if row.kind in classifiers]
        for page in self._wish.pages:
            if page == "launch":
                window.launch.choose_kind(self._wish.kind)
            elif page == "queue":
                window.queue.show_ended.setChecked(True)
            elif page == "monitor" and (self._wish.monitor or newest):
                window.show_run(self._wish.monitor or newest)
            elif page == "compare":
                window.runs.model.set_checked_ids(compared)
            elif page == "data" and self._wish.data:
                more.data.choose(self._wish.data)
            window.show_page(page)
            yield SETTLE_MS
            waited = 0
            while missing := unfinished(window, compared):
                if waited >= PAINT_MS:
                    raise UserError(f"page '{page}' was not painted within {PAINT_MS // 1000} s: {missing}")
                yield STEP_MS
                waited += STEP_MS
            window.toasts.clear()
            yield 0
            path = self._out / f"{page}-{self._theme}.png"
            if not window.grab().save(str(path)):
                raise UserError(f"cannot write '{path}'")
            self._paths.append(path)


def _needs_a_run_of(spec: type[JobSpec], held: str) -> bool:
    """Whether runs of a kind read one that holds this, in any case."""
    return any(held_by(info) == held and info.is_required() for _, info in walk_fields(spec))


if __name__ == "__main__":
    sys.exit(main())
