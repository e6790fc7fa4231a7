"""Real runs that several pages show: each is read once and held once, and what a page shows is of its run alone."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from support.gui_fakes import FakeClient
from support.recorded_runs import WEIGHTS, pictures
from support.shown_choices import choose
from support.words_in_view import words_in_view

from difrob.runs import Measure, RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainDenoiserSpec
from difrob.worker.messages import Entry
from difrob_gui import feed_reader
from difrob_gui.app import compose_window
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData
from difrob_gui.charts.ticks import Scale, value_text
from difrob_gui.feeds import FeedHub
from difrob_gui.main_window import MainWindow
from difrob_gui.pages.compare import ComparePage
from difrob_gui.pages.monitor import MonitorPage
from difrob_gui.settings import WindowSettings
from difrob_gui.theme import THEMES, apply_theme

METRICS = ("loss", "loss/clean", "loss/robust", "validation/robust_accuracy")


def record(recorder: RunRecorder, start: int, stop: int, mark: str = "") -> None:
    """Steps of a run, in which ``mark`` stands wherever a job can say something."""
    for step in range(start, stop):
        for name in METRICS:
            recorder.metric(name, step, 1 / (step + 1))
    recorder.progress(stop, 1000)
    recorder.curve(f"accuracy{mark}", stop, np.arange(3.0), np.arange(3.0) / 3, x_label=f"radius{mark}")
    recorder.note(f"at step {stop}{mark}")
    recorder.flush()


def ended(workspace: Workspace, run_id: str, mark: str = "") -> None:
    """A run with something on every tab."""
    recorder = RunRecorder(workspace, run_id, TrainDenoiserSpec(name=f"run{mark}"))
    record(recorder, 0, 50, mark)
    recorder.metric(f"quantity{mark}", 50, 1.0)
    recorder.images(f"drawn{mark}", 50, pictures(), [f"one{mark}", f"two{mark}"])
    recorder.result(f"accuracy{mark}", Measure(0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", f"of the test set{mark}"))
    recorder.finish(RunState.FINISHED)


class Live:
    """A run that this test computes itself."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.recorder = RunRecorder(workspace, "live", TrainDenoiserSpec(name="live"))
        record(self.recorder, 0, 50)

    def crash_and_resume(self) -> None:
        self.recorder.close()
        self.recorder = RunRecorder(self.workspace, "live", TrainDenoiserSpec(name="live"), resume=True)


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_reader, "TICK_MS", 20)
    monkeypatch.setattr(feed_reader, "LIST_SECONDS", 0.05)


@pytest.fixture
def live(workspace: Workspace) -> Iterator[Live]:
    live = Live(workspace)
    yield live
    live.recorder.close()


@pytest.fixture
def opened(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each run was opened to be followed."""
    counts: Counter[str] = Counter()
    feed = workspace.feed

    def counted(run_id: str) -> Any:
        counts[run_id] += 1
        return feed(run_id)

    monkeypatch.setattr(workspace, "feed", counted)
    return counts


@pytest.fixture
def hub(qtbot: QtBot, workspace: Workspace) -> Iterator[FeedHub]:
    apply_theme(QApplication.instance(), THEMES["light"])
    hub = FeedHub(workspace)
    yield hub
    hub.close()


@pytest.fixture
def monitor(qtbot: QtBot, hub: FeedHub) -> MonitorPage:
    return show(qtbot, MonitorPage(hub, FakeClient()))


@pytest.fixture
def compare(qtbot: QtBot, hub: FeedHub) -> ComparePage:
    return show(qtbot, ComparePage(hub, FakeClient()))


def show(qtbot: QtBot, page: Any) -> Any:
    qtbot.addWidget(page)
    page.resize(1000, 800)
    page.show()
    qtbot.waitExposed(page)
    return page


def settle() -> None:
    """Paint everything that is to be painted."""
    for _ in range(3):
        QApplication.processEvents()
        scheduler().flush()


def series_in_memory() -> list[SeriesData]:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, SeriesData)]


def zoom(qtbot: QtBot, chart: Chart) -> None:
    for _ in range(2):
        qtbot.keyClick(chart.area, Qt.Key.Key_Plus)
    qtbot.keyClick(chart.area, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    settle()
    assert not chart.follows


def hide(qtbot: QtBot, chart: Chart, name: str) -> None:
    place = chart.legend.places[[entry.key for entry in chart.legend.entries].index(name)]
    qtbot.mouseClick(chart.legend, Qt.MouseButton.LeftButton, pos=place.center().toPoint())
    settle()
    assert not chart.curves[name].shown


def look_of(chart: Chart) -> tuple[Any, ...]:
    """What somebody made of a chart: what it shows, and which part of it."""
    return chart.follows, chart.area.x_range, chart.area.y_range, {k: curve.shown for k, curve in chart.curves.items()}


@pytest.fixture
def window(qtbot: QtBot, workspace: Workspace, tmp_path: Path) -> Iterator[MainWindow]:
    window = compose_window(workspace, WindowSettings(tmp_path / "window.ini"), autostart=False, theme="light")
    window.resize(1300, 900)
    window.show()
    window.start()
    yield window
    window.close()
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_compare_on_the_run_of_the_monitor_changes_nothing_there(
    qtbot: QtBot, workspace: Workspace, live: Live, opened: Counter[str], window: MainWindow
) -> None:
    ended(workspace, "other")
    foreign = series_in_memory()
    qtbot.waitUntil(lambda: window.runs.model.total == 2)
    window.show_run("live")
    qtbot.waitUntil(lambda: window.monitor.is_read)
    settle()
    charts = window.monitor.board.charts
    zoom(qtbot, charts["metric:accuracy"])
    hide(qtbot, charts["metric:loss"], "loss/robust")
    looks = {key: look_of(chart) for key, chart in charts.items()}
    model = window.monitor._model
    assert model is not None
    series = dict(model.data.metrics)

    window.runs.model.set_checked_ids(["live", "other"])
    window.compare()
    qtbot.waitUntil(lambda: window.compare_page.unread == [])
    choose(window.compare_page.metrics.chooser, "loss/robust")
    settle()
    assert {key: look_of(chart) for key, chart in window.monitor.board.charts.items()} == looks
    assert opened == {"live": 1, "other": 1}
    drawn = window.compare_page.metrics.chart.curves
    assert set(drawn) == {"live", "other"} and drawn["live"].shown
    assert drawn["live"].data is series["loss/robust"] is charts["metric:loss"].curves["loss/robust"].data
    other = window.compare_page._models["other"]
    held = [thing for thing in series_in_memory() if not any(thing is one for one in foreign)]
    known = [one for data in (model.data, other.data) for one in (*data.metrics.values(), *data.drawn_curves.values())]
    assert {id(thing) for thing in held} == {id(one) for one in known}

    del held, known, other, drawn
    window.runs.model.set_checked_ids([])
    qtbot.waitUntil(lambda: window.compare_page.runs.run_ids == [])
    window.show_page("monitor")
    held = [thing for thing in series_in_memory() if not any(thing is one for one in foreign)]
    assert len(held) == len(series) + len(model.data.drawn_curves), "what only Compare showed is gone"
    record(live.recorder, 50, 60)
    qtbot.waitUntil(lambda: len(series["loss"]) == 60)
    settle()
    assert window.monitor.log.text.toPlainText().endswith("at step 60")
    assert [entry.value for entry in charts["metric:loss"].legend.entries][:2] == [value_text(Scale.NUMBER, 1 / 60)] * 2
    assert look_of(charts["metric:accuracy"]) == looks["metric:accuracy"]
    assert not charts["metric:loss"].curves["loss/robust"].shown
    assert opened == {"live": 1, "other": 1}


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_resumed_run_keeps_what_was_hidden_and_zoomed(
    qtbot: QtBot, workspace: Workspace, live: Live, monitor: MonitorPage, compare: ComparePage, checkpoint: bool
) -> None:
    if checkpoint:
        live.recorder.checkpoint(50, WEIGHTS, {})
    record(live.recorder, 51, 70)
    ended(workspace, "other")
    monitor.show_run("live")
    compare.show_runs(["live", "other"])
    qtbot.waitUntil(lambda: monitor.is_read and compare.unread == [])
    settle()
    charts = monitor.board.charts
    zoom(qtbot, charts["metric:loss"])
    zoom(qtbot, charts["curve:accuracy"])
    hide(qtbot, charts["metric:loss"], "loss/robust")
    choose(compare.metrics.chooser, "loss")
    settle()
    zoom(qtbot, compare.metrics.chart)
    hide(qtbot, compare.metrics.chart, "other")
    watched = [charts["metric:loss"], charts["curve:accuracy"]]
    watched += [compare.metrics.chart] if checkpoint else []  # without one there is a moment without a metric in common
    looks = [(chart, look_of(chart)) for chart in watched]
    data = charts["metric:loss"].curves["loss"].data

    live.crash_and_resume()
    qtbot.waitUntil(lambda: monitor._run.log[-1].text.startswith("resumed"))
    record(live.recorder, 51, 60)
    qtbot.waitUntil(
        lambda: "loss" in monitor._run.metrics and len(monitor._run.metrics["loss"]) == (59 if checkpoint else 9)
    )
    settle()
    assert charts["metric:loss"].curves["loss"].data is monitor._run.metrics["loss"] is not data
    for chart, look in looks:
        assert look_of(chart) == look, chart.title
    shown = {name: curve.shown for name, curve in charts["metric:loss"].curves.items()}
    assert shown == {"loss": True, "loss/clean": True, "loss/robust": False}
    assert compare.runs.shown_ids == ["live"]
    assert compare.metrics.chart.curves["live"].data is monitor._run.metrics["loss"]


@pytest.mark.parametrize("queued", [False, True])
def test_a_monitor_that_turns_to_another_run_shows_nothing_of_the_last(
    qtbot: QtBot, workspace: Workspace, monitor: MonitorPage, queued: bool
) -> None:
    ended(workspace, "older", " older")
    ended(workspace, "second")
    monitor.show_run("older")
    qtbot.waitUntil(lambda: monitor.is_read)
    settle()
    qtbot.keyClick(monitor.board.charts["metric:loss"].area, Qt.Key.Key_Left)
    settle()
    said = words_in_view(monitor)
    assert sum("older" in text for text in said) > 12 and "older" in said and "Pictures  1" in said
    assert monitor.board.charts["metric:loss"].position_text
    if queued:
        entry = Entry(run_id="second", spec={"kind": "train_denoiser", "name": "the next"}, state=RunState.RUNNING)
        monitor._client.mirror.entries["second"] = entry

    monitor.show_run("second")
    assert monitor.run_id == "second" and not monitor.is_read
    assert [monitor.tabs.tabText(tab) for tab in range(4)] == ["Curves", "Pictures", "Results", "Specification"]
    assert monitor.spec.model().rowCount() == monitor.results.rowCount() == 0
    assert monitor.board.charts == {} and monitor.images.shown is None and monitor.log.text.toPlainText() == ""
    assert ("the next" in words_in_view(monitor)) == queued
    while not monitor.is_read:
        assert not [text for text in words_in_view(monitor) if "older" in text]
        QApplication.processEvents()
    for _ in range(3):
        assert not [text for text in words_in_view(monitor) if "older" in text]
        settle()
    assert monitor.spec.model().rowCount() > 1 and monitor.board.charts["metric:loss"].position_text == ""
    assert monitor.tabs.tabText(1) == "Pictures  1" and monitor.tabs.tabText(2) == "Results  1"


def test_a_monitor_that_joins_a_run_that_is_held_shows_it_at_once(
    qtbot: QtBot, workspace: Workspace, monitor: MonitorPage, compare: ComparePage, opened: Counter[str]
) -> None:
    ended(workspace, "older", " older")
    ended(workspace, "second")
    monitor.show_run("older")
    compare.show_runs(["second"])
    qtbot.waitUntil(lambda: monitor.is_read and compare.unread == [])
    settle()
    monitor.show_run("second")
    assert monitor.is_read and "metric:loss" in monitor.board.charts
    assert monitor.tabs.tabText(2) == "Results  1" and "at step 50" in monitor.log.text.toPlainText()
    assert not [text for text in words_in_view(monitor) if "older" in text]
    monitor.show_run("gone")
    qtbot.waitUntil(lambda: monitor.is_read)
    assert "there is no run 'gone'" in monitor.problem.message
    compare.show_runs(["gone"])
    assert "there is no run 'gone'" in compare.problem.message and compare.unread == []
    monitor.show_run("second")
    assert monitor.problem.message == ""
    qtbot.waitUntil(lambda: monitor.is_read)
    assert opened == {"older": 1, "second": 2, "gone": 1}, "nobody held the second one any more"


@pytest.mark.parametrize("held", [False, True])
def test_compare_shows_nothing_of_runs_that_were_left_out(
    qtbot: QtBot, workspace: Workspace, hub: FeedHub, compare: ComparePage, held: bool
) -> None:
    for run_id in ("a", "b"):
        ended(workspace, f"older-{run_id}", f" older {run_id}")
        ended(workspace, f"second-{run_id}")
    compare.show_runs(["older-a", "older-b", "gone"])
    qtbot.waitUntil(lambda: compare.unread == [])
    settle()
    said = words_in_view(compare)
    assert sum("older" in text for text in said) > 6 and compare.problem.message
    if held:
        models = [hub.run("second-a"), hub.run("second-b")]
        qtbot.waitUntil(lambda: all(model.is_read for model in models))
    compare.show_runs(["second-a", "second-b"])
    assert compare.problem.message == "" and (compare.unread == []) == held
    while compare.unread:
        assert not [text for text in words_in_view(compare) if "older" in text]
        QApplication.processEvents()
    for _ in range(3):
        assert not [text for text in words_in_view(compare) if "older" in text]
        settle()
    assert set(compare.metrics.chart.curves) == {"second-a", "second-b"}


def test_who_lets_go_last_frees_everything(
    qtbot: QtBot, workspace: Workspace, monitor: MonitorPage, compare: ComparePage
) -> None:
    ended(workspace, "first")
    ended(workspace, "second")
    monitor.show_run("first")
    compare.show_runs(["first", "second"])
    qtbot.waitUntil(lambda: monitor.is_read and compare.unread == [])
    settle()

    def freed(run_id: str) -> Callable[[], bool]:
        model = compare._models[run_id]
        things = [model, model.data, *model.data.metrics.values(), *model.data.drawn_curves.values()]
        references = [weakref.ref(thing) for thing in things]
        return lambda: gc.collect() >= 0 and all(reference() is None for reference in references)

    is_first_gone, is_second_gone = freed("first"), freed("second")
    compare.show_runs([])
    assert is_second_gone() and not is_first_gone()
    monitor.show_nothing()
    assert is_first_gone()


def test_an_answer_that_comes_late_is_not_shown_at_another_run(qtbot: QtBot, monitor: MonitorPage) -> None:
    answers: list[Callable[[Any, str | None], None]] = []
    monitor._client.call = lambda _name, callback, **_args: answers.append(callback)
    monitor.show_run("first")
    monitor.status.stop_wanted.emit("stop")
    answers[0](None, "the disk is full")
    assert monitor.problem.message == "Not done the disk is full"
    monitor.status.stop_wanted.emit("stop")
    monitor.show_run("second")
    with qtbot.waitSignal(monitor.failed) as told:
        answers[1](None, "the disk is full")
    assert told.args == ["first: the disk is full"] and monitor.problem.message == ""
