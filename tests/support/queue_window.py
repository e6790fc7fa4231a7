"""A window around the Queue page, and what its table says."""

from __future__ import annotations

from PySide6.QtWidgets import QMainWindow

from difrob_gui.actions import ActionTable
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.pages.queue import QueuePage


class Window(QMainWindow):
    """What the page needs around it."""

    def __init__(self, feeds: FeedHub, client: SupervisorClient) -> None:
        super().__init__()
        self.table = ActionTable(self)
        self.page = QueuePage(feeds, client, self.table)
        self.setCentralWidget(self.page)
        for step in ("up", "down", "top", "bottom"):
            self.table.bind(f"queue.{step}", lambda step=step: self.page.commands.move(step))
        self.table.bind("queue.pause", self.page.commands.toggle_pause)
        self.table.bind("queue.edit", self.page.edit)
        for name in ("hold", "duplicate", "remove", "undo", "redo"):
            self.table.bind(f"queue.{name}", getattr(self.page.commands, name))
        self.table.bind("queue.raise", lambda: self.page.commands.change_priority(1))
        self.table.bind("queue.lower", lambda: self.page.commands.change_priority(-1))
        self.page.chosen_changed.connect(lambda: self.table.enable("entry", self.page.commands.allows))


def shown(page: QueuePage) -> list[str]:
    return [row.run_id for row in page.model.rows()]


def text(page: QueuePage, run_id: str, column: int) -> str:
    return str(page.model.index(page.model.place_of(run_id), column).data() or "")
