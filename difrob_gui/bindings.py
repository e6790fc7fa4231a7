"""Which action of the table calls what, menu by menu."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QMainWindow

from difrob_gui import window_dialogs
from difrob_gui.actions import ActionTable
from difrob_gui.client import SupervisorClient
from difrob_gui.pages.queue import QueuePage
from difrob_gui.run_commands import RunCommands
from difrob_gui.theme_choice import ThemeChoice
from difrob_gui.themes import THEMES
from difrob_gui.widgets.runs_panel import RunsPanel
from difrob_gui.widgets.toasts import Tell
from difrob_gui.window_like import WindowLike

RUN_MENU = (
    "run.show", "run.check", "run.compare", "run.duplicate", "", "run.pause", "run.resume", "run.stop", "run.abort",
    "run.kill", "", "run.copy_id", "run.show_file", "run.remove",
)  # fmt: skip


def bind_workspace(actions: ActionTable, frame: QMainWindow, root: Path, client: SupervisorClient, tell: Tell) -> None:
    """What concerns the workspace in the folder ``root`` and the window itself, whose dialogs lie over ``frame``."""
    actions.bind("file.open_workspace", lambda: window_dialogs.open_workspace(frame, root, tell))
    actions.bind("file.connect", client.open)
    actions.bind("file.close", frame.close)
    actions.bind("help.about", lambda: window_dialogs.about(frame, root))


def bind_runs(actions: ActionTable, window: WindowLike, runs: RunsPanel, commands: RunCommands) -> None:
    """What is done with runs: the current one, the ticked ones, a new one."""
    bind = actions.bind
    bind("file.show_workspace", commands.show_workspace)
    bind("run.new", window.new_run)
    bind("run.start", window.start_run)
    bind("run.duplicate", window.duplicate)
    bind("run.show", lambda: _with_current(runs, window.show_run))
    bind("run.check", lambda: _with_current(runs, runs.model.toggle))
    bind("run.compare", window.compare)
    bind("run.uncheck_all", lambda: runs.model.set_checked_ids([]))
    for grade in ("pause", "stop", "abort", "kill"):
        bind(f"run.{grade}", partial(commands.stop, grade))
    bind("run.resume", commands.resume)
    bind("run.copy_id", commands.copy_id)
    bind("run.show_file", commands.show_file)
    bind("run.remove", commands.remove)
    actions.attach("runs", runs)
    runs.set_context_menu(lambda parent: actions.context_menu(parent, RUN_MENU))


def bind_queue(actions: ActionTable, queue: QueuePage) -> None:
    """What is done with the queue and its chosen entries."""
    bind, commands = actions.bind, queue.commands
    bind("queue.pause", commands.toggle_pause)
    for step in ("up", "down", "top", "bottom"):
        bind(f"queue.{step}", partial(commands.move, step))
    bind("queue.undo", commands.undo)
    bind("queue.redo", commands.redo)
    bind("queue.raise", lambda: commands.change_priority(1))
    bind("queue.lower", lambda: commands.change_priority(-1))
    bind("queue.hold", commands.hold)
    bind("queue.edit", queue.edit)
    bind("queue.duplicate", commands.duplicate)
    bind("queue.remove", commands.remove)


def bind_views(actions: ActionTable, window: WindowLike, runs: RunsPanel, theme: ThemeChoice) -> None:
    """What is seen, and in which colours."""
    bind = actions.bind
    bind("file.refresh", window.refresh)
    for name in ("launch", "queue", "monitor", "compare", "studies", "data"):
        bind(f"view.{name}", partial(window.show_page, name))
    bind("help.keys", partial(window.show_page, "help"))
    bind("view.find_run", window.find_run)
    bind("view.runs_panel", lambda: window.show_panel(not runs.isVisible()))
    bind("view.follow", window.toggle_follow)
    bind("view.palette", window.show_palette)
    for name in ("system", *THEMES):
        bind(f"view.theme_{name}", partial(theme.choose, name))
    actions[f"view.theme_{theme.name}"].setChecked(True)


def _with_current(runs: RunsPanel, act: Callable[[str], None]) -> None:
    """Do something with the current run, if there is one."""
    if runs.current is not None:
        act(runs.current.run_id)
