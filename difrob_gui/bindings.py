"""Which action of the table calls what in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from difrob_gui import window_dialogs
from difrob_gui.themes import THEMES

if TYPE_CHECKING:
    from difrob_gui.main_window import MainWindow

RUN_MENU = (
    "run.show", "run.check", "run.compare", "run.duplicate", "", "run.pause", "run.resume", "run.stop", "run.abort",
    "run.kill", "", "run.copy_id", "run.show_file", "run.remove",
)  # fmt: skip


def bind_actions(window: MainWindow) -> None:
    """Give every action its handler."""
    bind = window.actions_table.bind
    runs, queue, commands = window.runs, window.queue, window.commands
    bind("file.open_workspace", lambda: window_dialogs.open_workspace(window))
    bind("file.show_workspace", commands.show_workspace)
    bind("file.refresh", lambda: (window.feeds.reload(), window.more.refresh()))
    bind("file.connect", window.client.open)
    bind("file.close", window.close)
    bind("run.new", window.new_run)
    bind("run.start", window.start_run)
    bind("run.duplicate", window.duplicate)
    bind("run.show", lambda: runs.current and window.show_run(runs.current.run_id))
    bind("run.check", lambda: runs.current and runs.model.toggle(runs.current.run_id))
    bind("run.compare", window.compare)
    bind("run.uncheck_all", lambda: runs.model.set_checked_ids([]))
    for grade in ("pause", "stop", "abort", "kill"):
        bind(f"run.{grade}", lambda grade=grade: commands.stop(grade))
    bind("run.resume", commands.resume)
    bind("run.copy_id", commands.copy_id)
    bind("run.show_file", commands.show_file)
    bind("run.remove", commands.remove)
    bind("queue.pause", queue.commands.toggle_pause)
    for step in ("up", "down", "top", "bottom"):
        bind(f"queue.{step}", lambda step=step: queue.commands.move(step))
    bind("queue.undo", queue.commands.undo)
    bind("queue.redo", queue.commands.redo)
    bind("queue.raise", lambda: queue.commands.change_priority(1))
    bind("queue.lower", lambda: queue.commands.change_priority(-1))
    bind("queue.hold", queue.commands.hold)
    bind("queue.edit", queue.edit)
    bind("queue.duplicate", queue.commands.duplicate)
    bind("queue.remove", queue.commands.remove)
    for name in ("launch", "queue", "monitor", "compare", "studies", "data"):
        bind(f"view.{name}", lambda name=name: window.show_page(name))
    bind("view.find_run", window.find_run)
    bind("view.runs_panel", lambda: window.show_panel(not runs.isVisible()))
    bind("view.follow", lambda: window.follow(not window.auto_turn.is_on))
    bind("view.palette", lambda: window.palette_sheet.open(window_dialogs.palette_commands(window)))
    for name in ("system", *THEMES):
        bind(f"view.theme_{name}", lambda name=name: window.choose_theme(name))
    bind("help.keys", lambda: window.show_page("help"))
    bind("help.about", lambda: window_dialogs.about(window))
    window.more.bind()
    window.actions_table.attach("runs", runs)
    runs.set_context_menu(lambda parent: window.actions_table.context_menu(parent, RUN_MENU))
