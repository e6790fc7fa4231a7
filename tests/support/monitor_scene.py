"""The Monitor page with a fake hub and a fake client around it."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QApplication
from support.gui_fakes import FakeClient, FakeHub

from difrob.runs import FeedUpdate, RunState
from difrob.worker.messages import Entry
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.pages.monitor import MonitorPage
from difrob_gui.theme import apply_theme
from difrob_gui.themes import THEMES


class Scene:
    """A page with its hub and client."""

    def __init__(self, qtbot: Any) -> None:
        apply_theme(QApplication.instance(), THEMES["light"])
        self.hub, self.client = FakeHub(), FakeClient()
        self.page = MonitorPage(self.hub, self.client)
        qtbot.addWidget(self.page)
        self.page.resize(1000, 800)
        self.page.show()
        qtbot.waitExposed(self.page)

    def show(self, update: FeedUpdate) -> None:
        self.hub.runs[update.summary.run_id] = update
        self.page.show_run(update.summary.run_id)
        self.settle()

    def enter(self, run_id: str, state: RunState, **more: Any) -> None:
        self.client.mirror.entries[run_id] = Entry(
            run_id=run_id, spec={"kind": "train_classifier", "name": run_id}, state=state, **more
        )
        self.client.entry_changed.emit(run_id)

    def settle(self) -> None:
        for _ in range(3):
            QApplication.processEvents()
            scheduler().flush()
