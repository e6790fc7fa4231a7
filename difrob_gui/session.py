"""Bringing a window back as it was left: geometry, page, current run, ticks, theme. Saved now and then, not only at the end."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QObject, QTimer
from PySide6.QtWidgets import QMainWindow, QSplitter

from difrob_gui.feeds import FeedHub
from difrob_gui.settings import WindowSettings
from difrob_gui.theme_choice import ThemeChoice
from difrob_gui.widgets.runs_panel import RunsPanel
from difrob_gui.window_like import WindowLike

PANEL_WIDTHS = (350, 500)
SAVE_MS = 30_000


class Session(QObject):
    """Restores a window from its settings, and writes them every half minute and when told."""

    def __init__(
        self,
        settings: WindowSettings,
        window: WindowLike,
        *,
        frame: QMainWindow,
        splitter: QSplitter,
        runs: RunsPanel,
        feeds: FeedHub,
        theme: ThemeChoice,
    ) -> None:
        """Nothing is restored yet.

        Args:
            settings: what is remembered.
            window: its pages.
            frame: its place and size; owns the session.
            splitter: between ``runs`` and the pages.
            runs: the current run and the ticks.
            feeds: tells when all runs are listed.
            theme: the chosen theme.
        """
        super().__init__(frame)
        self._settings = settings
        self._window, self._frame, self._splitter = window, frame, splitter
        self._runs, self._feeds, self._theme = runs, feeds, theme
        self._ticks: list[str] = []
        self._split_by_size = False
        self._clock = QTimer(self, interval=SAVE_MS)
        self._clock.timeout.connect(self.save)

    def restore(self) -> None:
        """Bring back what does not need the list of runs; the rest follows with the first list."""
        settings = self._settings
        geometry, splitter = settings.data("geometry"), settings.data("splitter")
        if geometry is None or not self._frame.restoreGeometry(geometry):
            self._frame.resize(1280, 800)
        self._split_by_size = splitter is None or not self._splitter.restoreState(splitter)
        if header := settings.data("runs_header"):
            self._runs.table.horizontalHeader().restoreState(header)
        self._window.show_panel(settings.flag("runs_panel", True))
        page = settings.text("page", "launch")
        self._ticks = settings.texts("checked")
        self._runs.select(settings.text("current"))
        self._window.show_page(page if page in self._window.page_names else "launch")
        self._feeds.summaries_changed.connect(self._restore_runs)
        self._clock.start()

    def split(self) -> None:
        """The first time a window is seen, give the runs about a third of it."""
        if self._split_by_size:
            self._split_by_size = False
            width = self._frame.width()
            left = min(PANEL_WIDTHS[1], max(PANEL_WIDTHS[0], round(0.375 * width)))
            self._splitter.setSizes([left, width - left])

    def save(self) -> None:
        """Remember how the window stands."""
        runs, put = self._runs, self._settings.put
        put("geometry", self._frame.saveGeometry())
        put("splitter", self._splitter.saveState())
        put("runs_header", QByteArray(runs.table.horizontalHeader().saveState()))
        put("runs_panel", not runs.isHidden())
        put("page", self._window.page)
        put("checked", runs.model.checked_ids() or self._ticks)
        put("current", runs.current.run_id if runs.current is not None else "")
        if self._theme.to_remember:
            self._settings.theme = self._theme.to_remember
        self._settings.save()

    def close(self) -> None:
        """Save for the last time."""
        self._clock.stop()
        self.save()

    def _restore_runs(self, _summaries: object) -> None:
        if not self._feeds.is_complete:
            return  # the ticked runs may be among those still to come
        self._feeds.summaries_changed.disconnect(self._restore_runs)
        self._window.flush()
        self._runs.model.set_checked_ids(self._ticks)
        self._ticks = []
        self._window.show_current()
