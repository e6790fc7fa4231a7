"""The hub: who reads, when it is read, that a run is read once however many watch it, and that nothing is lost."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QObject
from pytestqt.qtbot import QtBot
from shiboken6 import delete
from support.fake_workspace import FakeWorkspace, make_series, make_summary

from difrob.errors import UserError
from difrob.runs import FeedUpdate, RunState, Workspace
from difrob_gui import feed_reader
from difrob_gui.feeds import FeedHub


@pytest.fixture
def fake() -> FakeWorkspace:
    workspace = FakeWorkspace()
    workspace.add(make_summary("live", RunState.RUNNING), make_summary("done", result=0.5))
    workspace.values = {"live": [3.0, 2.0], "done": [1.0]}
    return workspace


@pytest.fixture
def hub(qtbot: QtBot, fake: FakeWorkspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeedHub]:
    monkeypatch.setattr(feed_reader, "TICK_MS", 20)
    monkeypatch.setattr(feed_reader, "LIST_SECONDS", 0.05)
    monkeypatch.setattr(feed_reader, "ABSENT_SECONDS", 0.05)
    hub = FeedHub(fake)
    yield hub
    hub.close()


class Collector:
    """Holds a run as a page does, and remembers its news."""

    def __init__(self, hub: FeedHub, run_id: str) -> None:
        self.model = hub.run(run_id)
        self.updates: list[FeedUpdate] = []
        self.model.changed.connect(self.take)

    @property
    def values(self) -> list[float]:
        """What was read so far."""
        return self.model.data.metrics["loss"].value.tolist() if "loss" in self.model.data.metrics else []

    def take(self, run_id: str, update: FeedUpdate) -> None:
        assert run_id == self.model.run_id
        self.updates.append(update)


def test_the_list_is_told_once_and_again_only_when_it_changes(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    told: list[list[str]] = []
    hub.summaries_changed.connect(lambda summaries: told.append([summary.run_id for summary in summaries]))
    qtbot.waitUntil(lambda: fake.listings >= 5)
    assert told == [["live", "done"]]
    assert hub.summary_of("done") is fake.runs["done"]
    assert hub.summary_of("unknown") is None
    fake.add(make_summary("third"))
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told[1] == ["live", "done", "third"]


def test_all_reading_happens_in_the_reader_thread(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    where: list[int] = []
    hub.run("live")
    hub.submit(hub, lambda workspace: where.append(threading.get_ident()))
    qtbot.waitUntil(lambda: bool(where) and "live" in fake.polls)
    assert threading.get_ident() not in fake.threads | set(where)


def test_a_watched_run_gives_everything_then_the_news(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    live = Collector(hub, "live")
    qtbot.waitUntil(lambda: live.values == [3.0, 2.0])
    assert live.updates[0].reset
    for value in (1.5, 1.0, 0.5):
        fake.values["live"].append(value)
    qtbot.waitUntil(lambda: live.values == [3.0, 2.0, 1.5, 1.0, 0.5])
    assert sum(update.reset for update in live.updates) == 1
    count = len(live.updates)
    polls = fake.polls["live"]
    qtbot.waitUntil(lambda: fake.polls["live"] > polls + 5)
    assert len(live.updates) == count, "no news, no signal"


def test_an_ended_run_is_read_once_and_again_when_the_list_says_it_changed(
    qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub
) -> None:
    done = Collector(hub, "done")
    qtbot.waitUntil(lambda: len(done.updates) == 1)
    listings = fake.listings
    qtbot.waitUntil(lambda: fake.listings > listings + 4)
    settled = fake.polls["done"]
    listings = fake.listings
    qtbot.waitUntil(lambda: fake.listings > listings + 4)
    assert fake.polls["done"] == settled <= 2
    fake.values["done"].append(0.1)
    fake.change("done", state=RunState.RUNNING)
    qtbot.waitUntil(lambda: done.values == [1.0, 0.1])


def test_a_run_is_read_once_however_many_hold_it(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    first = Collector(hub, "live")
    qtbot.waitUntil(lambda: first.values == [3.0, 2.0])
    late = Collector(hub, "live")
    assert late.model is first.model and late.values == [3.0, 2.0], "who joins has at once what was read"
    hub.release(late.model)
    fake.values["live"].append(1.0)
    qtbot.waitUntil(lambda: first.values == [3.0, 2.0, 1.0])
    assert len(fake.feeds) == 1 and sum(update.reset for update in first.updates) == 1
    hub.release(first.model)
    qtbot.waitUntil(lambda: fake.feeds[-1].closed)
    polls = fake.polls["live"]
    listings = fake.listings
    qtbot.waitUntil(lambda: fake.listings > listings + 3)
    assert fake.polls["live"] == polls
    hub.release(first.model)  # once too often does no harm
    assert hub.run("live") is not first.model


def test_the_last_one_to_let_go_frees_the_model(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    held = [hub.run("live"), hub.run("live")]
    assert held[0] is held[1]
    qtbot.waitUntil(lambda: held[0].is_read)
    data = held[0].data
    parts = [weakref.ref(part) for part in (held[0], data, data.metrics["loss"])]
    del data
    hub.release(held.pop())
    gc.collect()
    assert None not in [part() for part in parts], "somebody holds it still"
    hub.release(held.pop())
    gc.collect()
    assert [part() for part in parts] == [None] * 3


def test_news_of_an_earlier_watch_are_left_out(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    """They were on their way while the run was let go and taken again."""
    first = hub.run("live")
    qtbot.waitUntil(lambda: first.is_read)
    hub.release(first)
    again = Collector(hub, "live")
    hub._on_updated("live", FeedUpdate(fake.runs["live"], metrics={"loss": make_series([9.0])}))
    assert not again.model.is_read and again.updates == []
    qtbot.waitUntil(lambda: again.values == [3.0, 2.0])


def test_a_failure_is_told_once_and_mends_itself(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    told: list[tuple[str, str]] = []
    hub.failed.connect(lambda run_id, message: told.append((run_id, message)))
    later = Collector(hub, "later")
    qtbot.waitUntil(lambda: told == [("later", "there is no run 'later'")])
    assert later.model.is_read and later.model.problem == "there is no run 'later'", "whoever joins is told as well"
    listings = fake.listings
    qtbot.waitUntil(lambda: fake.listings > listings + 4)
    assert len(told) == 1
    fake.values["later"] = [9.0]
    fake.add(make_summary("later", RunState.RUNNING))
    qtbot.waitUntil(lambda: later.values == [9.0])
    fake.broken["later"] = OSError("the disk is gone")
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told[1] == ("later", "OSError: the disk is gone")
    fake.broken.clear()
    fake.values["later"].append(8.0)
    qtbot.waitUntil(lambda: later.values == [9.0, 8.0])
    assert later.model.problem == ""


def test_tasks_answer_in_the_gui_thread(qtbot: QtBot, fake: FakeWorkspace, hub: FeedHub) -> None:
    heard: list[tuple[object, str | None, int]] = []

    def remember(result: object, error: str | None) -> None:
        heard.append((result, error, threading.get_ident()))

    def refuse(_workspace: object) -> None:
        raise UserError("that run is live; stop it first")

    hub.submit(hub, lambda workspace: workspace.remove_run("done"), remember)
    hub.submit(hub, refuse, remember)
    hub.submit(hub, lambda _workspace: 1 / 0, remember)
    qtbot.waitUntil(lambda: len(heard) == 3)
    here = threading.get_ident()
    assert heard == [
        (None, None, here),
        (None, "that run is live; stop it first", here),
        (None, "ZeroDivisionError: division by zero", here),
    ]
    assert "done" in fake.binned
    with qtbot.waitSignal(hub.failed) as told:
        hub.submit(hub, refuse)
    assert told.args == ["", "that run is live; stop it first"]


def test_presets_come_from_the_reader(qtbot: QtBot, hub: FeedHub) -> None:
    qtbot.waitUntil(lambda: bool(hub.presets))
    assert {preset.kind for preset in hub.presets} >= {"train_denoiser", "train_classifier"}


def test_close_joins_the_thread(qtbot: QtBot, fake: FakeWorkspace) -> None:
    hub = FeedHub(fake)
    live = Collector(hub, "live")
    qtbot.waitUntil(lambda: "live" in fake.polls)
    told = len(live.updates)
    hub.close()
    hub.close()
    assert hub._thread.isFinished()
    fake.values["live"].append(1.0)
    QCoreApplication.processEvents()
    assert len(live.updates) == told and not hub.run("done").is_read


def test_a_hub_that_never_saw_the_event_loop_closes_too(qtbot: QtBot, fake: FakeWorkspace) -> None:
    hub = FeedHub(fake)
    hub.close()
    qtbot.wait(1)
    assert not hub._thread.isRunning()


def test_a_real_workspace(qtbot: QtBot, workspace: Workspace) -> None:
    hub = FeedHub(workspace)
    try:
        told: list[str] = []
        hub.failed.connect(lambda _run_id, message: told.append(message))
        hub.run("20260101T000000Z-none-abcdef")
        qtbot.waitUntil(lambda: bool(told))
        assert "there is no run" in told[0]
        assert hub.summaries == []
    finally:
        hub.close()


def test_an_answer_to_somebody_who_has_gone_is_dropped(qtbot: QtBot, hub: FeedHub) -> None:
    asker, heard = QObject(), []
    hub.submit(asker, lambda _workspace: 1, lambda result, error: heard.append(result))
    hub.submit(hub, lambda _workspace: 2, lambda result, error: heard.append(result))
    delete(asker)
    qtbot.waitUntil(lambda: bool(heard))
    assert heard == [2]
