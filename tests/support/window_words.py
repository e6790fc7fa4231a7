"""What the main window shows, and its actions by name."""

from __future__ import annotations

from difrob_gui.main_window import MainWindow


def shown(window: MainWindow) -> list[str]:
    return [window.runs.model.run_id_at(row) for row in range(window.runs.model.rowCount())]


def trigger(window: MainWindow, action_id: str) -> None:
    action = window.actions_table[action_id]
    assert action.isEnabled(), action_id
    action.trigger()
