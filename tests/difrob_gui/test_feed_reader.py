"""The reader thread's half by itself."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication
from support.fake_workspace import FakeWorkspace, make_summary

from difrob.runs import FeedUpdate, RunState
from difrob_gui.feed_reader import FeedReader


def test_a_busy_window_delays_news_but_loses_none(qapp: QCoreApplication) -> None:
    fake = FakeWorkspace()
    fake.add(make_summary("live", RunState.RUNNING))
    fake.values = {"live": [3.0, 2.0]}
    reader = FeedReader(fake)
    told: list[FeedUpdate] = []
    reader.updated.connect(lambda _run_id, update: told.append(update))
    reader.subscribe("live")
    for value in (1.0, 0.5):
        fake.values["live"].append(value)
        reader.tick()
    assert len(told) == 1, "the next update waits until this one was taken"
    reader.acknowledge("live")
    reader.tick()
    assert told[1].metrics["loss"].value.tolist() == [1.0, 0.5]


def test_a_run_that_is_resumed_while_the_news_of_its_end_are_on_their_way_is_followed_again(
    qapp: QCoreApplication,
) -> None:
    fake = FakeWorkspace()
    fake.add(make_summary("run", RunState.RUNNING))
    reader = FeedReader(fake)
    told: list[FeedUpdate] = []
    reader.updated.connect(lambda _run_id, update: told.append(update))
    reader.subscribe("run")
    reader.acknowledge("run")
    fake.change("run", state=RunState.INTERRUPTED)
    reader.refresh()
    assert told[-1].summary.state is RunState.INTERRUPTED
    fake.change("run", state=RunState.RUNNING)
    reader.refresh()
    reader.acknowledge("run")
    reader.tick()
    assert told[-1].summary.state is RunState.RUNNING
