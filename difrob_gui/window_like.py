"""What actions, and the memory of how a window was left, ask of the window as a whole."""

from __future__ import annotations

from typing import Protocol


class WindowLike(Protocol):
    """The part of :class:`~difrob_gui.main_window.MainWindow` that is about pages and runs, not about its widgets."""

    @property
    def page(self) -> str:
        """Name of the page on show."""
        ...

    @property
    def page_names(self) -> tuple[str, ...]:
        """Names of all pages."""
        ...

    def show_page(self, name: str) -> None:
        """Show a page."""
        ...

    def show_panel(self, shown: bool) -> None:
        """Show or hide the table of runs."""
        ...

    def show_run(self, run_id: str) -> None:
        """Show a run on the Monitor page."""
        ...

    def show_current(self) -> None:
        """Let the Monitor page, if it is on show, show the current run, if there is one."""
        ...

    def new_run(self) -> None:
        """Go to the first setting of the Launch page."""
        ...

    def start_run(self) -> None:
        """Submit what the Launch page shows, if it is seen; else show it first."""
        ...

    def duplicate(self, run_id: str = "") -> None:
        """Fill the Launch page with the settings of a run; by default the current one."""
        ...

    def compare(self) -> None:
        """Show the ticked runs, or the current one when none is ticked."""
        ...

    def find_run(self) -> None:
        """Go to the search box above the runs."""
        ...

    def toggle_follow(self) -> None:
        """Let the Monitor page turn to each run as it begins, or leave it alone."""
        ...

    def show_palette(self) -> None:
        """Show all actions and runs by name, to be found by a few letters."""
        ...

    def refresh(self) -> None:
        """Read runs, presets, data sets and studies anew."""
        ...

    def flush(self) -> None:
        """Bring the table of runs up to date now."""
        ...
