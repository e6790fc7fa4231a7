"""Bringing a window back as it was left: geometry, page, current run, ticks, theme. Saved now and then, not only at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QObject, QTimer

from difrob_gui.settings import WindowSettings

if TYPE_CHECKING:
    from difrob_gui.main_window import MainWindow

PANEL_WIDTHS = (350, 500)
SAVE_MS = 30_000


class Session(QObject):
    """Restores a window from its settings, and writes them every half minute and when told."""

    def __init__(self, window: MainWindow, settings: WindowSettings) -> None:
        super().__init__(window)
        self._window = window
        self._settings = settings
        self._ticks: list[str] = []
        self._split_by_size = False
        self._clock = QTimer(self, interval=SAVE_MS)
        self._clock.timeout.connect(self.save)

    def restore(self) -> None:
        """Bring back what does not need the list of runs; the rest follows with the first list."""
        window, settings = self._window, self._settings
        geometry, splitter = settings.data("geometry"), settings.data("splitter")
        if geometry is None or not window.restoreGeometry(geometry):
            window.resize(1280, 800)
        self._split_by_size = splitter is None or not window.splitter.restoreState(splitter)
        if header := settings.data("runs_header"):
            window.runs.table.horizontalHeader().restoreState(header)
        window.show_panel(settings.flag("runs_panel", True))
        page = settings.text("page", "launch")
        self._ticks = settings.texts("checked")
        window.runs.select(settings.text("current"))
        window.show_page(page if page in window.pages else "launch")
        window.feeds.summaries_changed.connect(self._restore_runs)
        self._clock.start()

    def split(self) -> None:
        """The first time a window is seen, give the runs about a third of it."""
        if self._split_by_size:
            self._split_by_size = False
            width = self._window.width()
            left = min(PANEL_WIDTHS[1], max(PANEL_WIDTHS[0], round(0.375 * width)))
            self._window.splitter.setSizes([left, width - left])

    def save(self) -> None:
        """Remember how the window stands."""
        window, put = self._window, self._settings.put
        put("geometry", window.saveGeometry())
        put("splitter", window.splitter.saveState())
        put("runs_header", QByteArray(window.runs.table.horizontalHeader().saveState()))
        put("runs_panel", window.actions_table["view.runs_panel"].isChecked())
        put("page", window.page)
        put("checked", window.runs.model.checked_ids() or self._ticks)
        put("current", window.runs.current.run_id if window.runs.current is not None else "")
        if window.theme_to_remember:
            self._settings.theme = window.theme_to_remember
        self._settings.save()

    def close(self) -> None:
        """Save for the last time."""
        self._clock.stop()
        self.save()

    def _restore_runs(self, _summaries: object) -> None:
        window = self._window
        if not window.feeds.is_complete:
            return  # the ticked runs may be among those still to come
        window.feeds.summaries_changed.disconnect(self._restore_runs)
        window.flush()
        window.runs.model.set_checked_ids(self._ticks)
        self._ticks = []
        if window.page == "monitor" and window.runs.current is not None:
            window.monitor.show_run(window.runs.current.run_id)
