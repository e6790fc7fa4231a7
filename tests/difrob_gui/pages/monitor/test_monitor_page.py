"""The Monitor page with hand-made runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QLineEdit,
    QPushButton,
    QSlider,
    QTabBar,
    QTableView,
    QTabWidget,
    QToolButton,
    QTreeView,
)
from support.gui_fakes import certification, series, share, summary, training
from support.monitor_scene import Scene

from difrob.runs import Curve, FeedUpdate, LogLine, Measure, Progress, RunState
from difrob.worker.messages import LiveProgress, Meters
from difrob_gui.charts.legend import Legend
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.plot_area import PlotArea
from difrob_gui.charts.series_data import XAxis
from difrob_gui.themes import THEMES


def test_without_a_run_it_says_what_to_do(scene: Scene) -> None:
    assert scene.page._stack.currentIndex() == 0
    assert "Choose a run" in scene.page._empty.text


def test_a_training_run_fills_every_part(scene: Scene) -> None:
    scene.show(training("t1"))
    page = scene.page
    charts = page.board.charts
    assert [chart.title for chart in charts.values()] == [
        "Accuracy", "Loss", "Attack success (train)", "Gradient norm", "Learning rate",
    ]  # fmt: skip
    assert all(isinstance(chart.menu, ChartMenu) for chart in charts.values())
    accuracy = charts["metric:accuracy"]
    assert accuracy.legend.note == "band: Wilson 95 %"
    robust = accuracy.curves["validation/robust_accuracy"]
    np.testing.assert_array_equal(robust.line.xData, np.arange(50, 601, 50))
    assert robust.band.isVisible()
    assert page.images.chooser.currentData() == "adversarial"
    assert "robust accuracy 0.660" in page.log.text.toPlainText()
    assert page.spec.model().rowCount() > 3
    assert page.tabs.tabText(1) == "Pictures  3"


def test_further_values_arrive_in_the_same_charts(scene: Scene) -> None:
    scene.show(training("t1"))
    chart = scene.page.board.charts["metric:loss"]
    before = len(chart.curves["loss"].data)
    more = FeedUpdate(
        summary=summary("t1"),
        metrics={
            "loss": series(np.array([605]), np.array([0.1])),
            "train/entropy": series(np.array([605]), np.array([1.0])),
        },
        log=[LogLine(1.7e9, "error", "something new")],
    )
    scene.hub.send(more)
    scene.settle()
    assert scene.page.board.charts["metric:loss"] is chart
    assert len(chart.curves["loss"].data) == before + 1
    assert chart.legend.entries[0].value == "0.1"
    assert "metric:train/entropy" in scene.page.board.charts
    assert scene.page.log.text.toPlainText().endswith("something new")


def test_an_empty_log_gives_its_height_to_the_charts_until_there_are_lines(scene: Scene) -> None:
    page = scene.page
    spoken = training("t1", state=RunState.FINISHED)
    silent = replace(training("t2", state=RunState.FINISHED), log=[])
    scene.show(spoken)
    page.splitter.setSizes([300, 250])
    scene.settle()
    before = page.splitter.sizes()
    scene.show(silent)
    assert page.log.is_quiet and page.splitter.sizes()[1] < before[1] / 2
    assert sum(page.splitter.sizes()) == sum(before)
    scene.show(spoken)
    assert not page.log.is_quiet and page.splitter.sizes() == before
    scene.show(silent)
    scene.hub.fail("t2", "the file is damaged")
    assert not page.log.is_quiet, "what cannot be read may have held lines"


def test_updates_of_other_runs_change_nothing(scene: Scene) -> None:
    scene.show(training("t1"))
    lines = scene.page.log.count.text()
    scene.hub.run("t2")
    scene.hub.send(training("t2"))
    assert scene.page.log.count.text() == lines
    assert scene.page.run_id == "t1"


def test_moments_of_a_training_stand_behind_its_metrics(scene: Scene) -> None:
    scene.show(training("t1"))
    classes, right = np.arange(10.0), np.full(10, 0.5)
    curve = Curve("validation/robust_accuracy_by_class", 600, classes, right, right, right, "class", "robust accuracy")
    other = Curve("certified_accuracy", 600, classes, right, right, right, "radius", "certified accuracy")
    scene.hub.send(FeedUpdate(summary=summary("t1"), curves=[curve, other]))
    scene.settle()
    shown = list(scene.page.board.charts)
    assert shown[:2] == ["curve:certified_accuracy", "metric:accuracy"]
    assert shown[-1] == "curve:validation/robust_accuracy_by_class"


def test_a_second_full_update_does_not_double_anything(scene: Scene) -> None:
    scene.show(training("t1"))
    data = len(scene.page.board.charts["metric:loss"].curves["loss"].data)
    lines = scene.page.log.count.text()
    scene.hub.send(scene.hub.runs["t1"])
    scene.settle()
    assert len(scene.page.board.charts["metric:loss"].curves["loss"].data) == data
    assert scene.page.log.count.text() == lines
    assert scene.page.tabs.tabText(1) == "Pictures  3"


def test_going_from_run_to_run_leaves_no_trace_and_no_watch(scene: Scene) -> None:
    scene.show(training("t1"))
    first_chart = scene.page.board.charts["metric:loss"]
    scene.show(certification("c1"))
    page = scene.page
    assert dict(scene.hub.watched) == {"c1": 1}
    assert list(page.board.charts) == ["curve:certified_accuracy", "metric:shares", "metric:average_certified_radius"]
    assert first_chart.isHidden() and first_chart.curves == {}
    assert page.images.shown is None and page.tabs.tabText(1) == "Pictures"
    assert "robust accuracy" not in page.log.text.toPlainText()
    scene.show(training("t3"))
    assert page.board.charts["metric:loss"] is first_chart, "charts are used again"
    page.show_nothing()
    assert dict(scene.hub.watched) == {}


def test_a_certification_shows_its_curve_first(scene: Scene) -> None:
    scene.show(certification("c1"))
    key, chart = next(iter(scene.page.board.charts.items()))
    assert key == "curve:certified_accuracy"
    assert chart.legend.note == "band: Clopper-Pearson 95 %"
    assert chart.area.y_range == (-0.02, 1.02)
    curve = scene.hub.runs["c1"].curves[0]
    drawn = chart.curves["certified_accuracy"]
    np.testing.assert_array_equal(drawn.line.yData, curve.y)


def test_results_stand_with_interval_count_and_description(scene: Scene) -> None:
    scene.show(certification("c1"))
    page = scene.page
    page.tabs.setCurrentIndex(2)
    assert page._results_stack.currentIndex() == 1
    model = page.results
    row = [model.index(0, column).data() for column in range(5)]
    assert row[0] == "Certified accuracy at 0.25" and row[1].endswith(" %")
    assert row[2].startswith("[") and row[2].endswith("Wilson 95 %") and row[3] == "300"
    assert row[4] == "certified within l2 0.25, sigma 0.25"
    scene.show(training("t1"))
    assert page._results_stack.currentIndex() == 0 and "No results yet" in page._no_results.text


@pytest.mark.parametrize(
    ("state", "pause", "stop", "more"),
    [
        (RunState.QUEUED, None, "Cancel", False),
        (RunState.STARTING, "Pause", "Stop and keep", True),
        (RunState.RUNNING, "Pause", "Stop and keep", True),
        (RunState.PAUSED, "Resume", "Stop and keep", True),
        (RunState.STOPPING, "Pause", "Stop and keep", True),
        (RunState.FINISHED, None, None, False),
        (RunState.FAILED, "Resume", None, False),
        (RunState.INTERRUPTED, "Resume", None, False),
        (RunState.CANCELLED, "Resume", None, False),
    ],
)
def test_buttons_fit_the_state(scene: Scene, state: RunState, pause, stop, more: bool) -> None:
    scene.show(training("t1", state=state))
    status = scene.page.status
    assert status.badge.state is state
    assert (status.pause.text() if not status.pause.isHidden() else None) == pause
    assert (status.stop.text() if not status.stop.isHidden() else None) == stop
    assert status.more.isHidden() != more
    usable = {RunState.STARTING: False, RunState.STOPPING: False}
    if pause:
        assert status.pause.isEnabled() == usable.get(state, True)
    if stop:
        assert status.stop.isEnabled() == (state is not RunState.STOPPING)


def test_each_button_asks_the_supervisor_for_its_grade(scene: Scene, qtbot) -> None:
    scene.show(training("t1"))
    status = scene.page.status
    qtbot.mouseClick(status.pause, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(status.stop, Qt.MouseButton.LeftButton)
    for action in status.more.menu().actions():
        action.trigger()
    assert scene.client.calls == [
        ("stop", {"run_id": "t1", "grade": grade}) for grade in ("pause", "stop", "abort", "kill")
    ]  # fmt: skip
    assert "60 s" in status.stop.toolTip()
    assert [action.text() for action in status.more.menu().actions()] == [
        "Abort — within 2 s, then kill", "Kill — at once; resume from the last checkpoint",
    ]  # fmt: skip
    assert all(action.text() in action.toolTip() for action in status.more.menu().actions())
    assert status.stop.toolTip().startswith("Stop and keep — within a step, at most 60 s, then abort.")
    assert status.pause.toolTip().startswith("Pause — at the next safe point, no limit.")


def test_resume_and_a_refusal_that_is_told(scene: Scene, qtbot) -> None:
    scene.show(training("t1", state=RunState.INTERRUPTED, reason="killed by signal 9", has_checkpoint=True))
    page = scene.page
    assert page.status.reason.message == (
        "Interrupted Killed by signal 9. Resume it to go on from its last checkpoint."
    )
    scene.client.error = "the supervisor is not reachable"
    qtbot.mouseClick(page.status.reason.button("Resume"), Qt.MouseButton.LeftButton)
    assert scene.client.calls == [("resume", {"run_id": "t1"})]
    assert page.problem.message == "Not done the supervisor is not reachable"


def test_the_queue_knows_the_state_before_the_file_does(scene: Scene) -> None:
    scene.show(training("t1", state=RunState.RUNNING))
    scene.enter("t1", RunState.PAUSED)
    assert scene.page.status.badge.state is RunState.PAUSED
    assert scene.page.status.pause.text() == "Resume"


def test_live_progress_moves_bar_and_words(scene: Scene) -> None:
    scene.show(training("t1", progress=Progress(10, 600, "steps", None)))
    scene.enter("t1", RunState.RUNNING)
    scene.client.mirror.progress["t1"] = LiveProgress(run_id="t1", done=450, total=600, unit="steps", seconds_left=30.0)
    scene.client.progress_changed.emit("t1")
    status = scene.page.status
    assert status.bar.value() == 750 and status.bar.maximum() == 1000
    assert status.done.text() == "450 of 600 steps  ·  75 %"
    assert "about 30 s left" in status.left.text()


def test_time_runs_while_a_run_is_live_and_in_view(scene: Scene) -> None:
    scene.show(training("t1", state=RunState.RUNNING, started=1000.0))
    page = scene.page
    assert page._clock.isActive()
    page.status.tick(now=1000.0 + 3700)
    assert "running for 1 h 02 min" in page.status.left.text()
    page.hide()
    page._clock.timeout.emit()
    assert not page._clock.isActive(), "a hidden page needs no clock"
    page.show()
    assert page._clock.isActive()
    scene.show(training("t2", state=RunState.FINISHED, started=1000.0, ended=1090.0))
    assert not page._clock.isActive()
    assert page.status.left.text() == "took 2 min"


def test_unknown_length_is_shown_as_such(scene: Scene) -> None:
    scene.show(training("t1", progress=Progress()))
    assert scene.page.status.bar.maximum() == 0
    assert scene.page.status.done.text() == "Working"


def test_a_queued_run_without_a_file_waits(scene: Scene) -> None:
    scene.enter("q1", RunState.QUEUED, reason="waits for generate-1")
    scene.page.show_run("q1")
    scene.hub.fail("q1", "there is no run 'q1'")
    page = scene.page
    assert page.problem.message == ""
    assert page.status.reason.message == "Waiting waits for generate-1"
    assert "Waiting in the queue" in page._no_curves.text
    assert page._charts_stack.currentIndex() == 0


def test_an_unreadable_run_is_named(scene: Scene) -> None:
    scene.page.show_run("broken")
    assert "Its file is being opened" in scene.page._no_curves.text
    scene.hub.fail("broken", "'broken.h5' is not a run file; restore it from a backup")
    assert "restore it from a backup" in scene.page.problem.message
    assert "cannot be read" in scene.page._no_curves.text
    scene.hub.send(training("broken"))
    assert scene.page.problem.message == ""


def test_smoothing_and_axis_act_on_all_charts(scene: Scene) -> None:
    scene.show(training("t1"))
    page = scene.page
    page.controls.slider.setValue(7)
    page.controls.axis.setCurrentIndex(1)
    scene.settle()
    assert {chart.smoothing for chart in page.board.charts.values()} == {page.controls.smoothing}
    assert {chart.x_axis for chart in page.board.charts.values()} == {XAxis.ELAPSED}
    scene.show(training("t2"))
    assert {chart.smoothing for chart in page.board.charts.values()} == {page.controls.smoothing}


def test_read_outs_move_together(scene: Scene) -> None:
    scene.show(training("t1"))
    charts = scene.page.board.charts
    charts["metric:loss"].area.pointed.emit(300.0)
    scene.settle()
    assert "[" in charts["metric:accuracy"].legend.entries[0].value
    charts["metric:loss"].area.pointed.emit(None)
    scene.settle()
    assert "[" not in charts["metric:accuracy"].legend.entries[0].value


def test_meters_come_from_the_client(scene: Scene) -> None:
    assert scene.page.meters.isHidden()
    scene.client.mirror.meters = Meters(time=1.0, cpu=0.25, memory_used=2**30, memory_total=2**32, disk_free=2**34)
    scene.client.meters_changed.emit()
    assert scene.page.meters.cpu.accessibleName() == "CPU: 25 %"


def test_results_that_change_are_shown(scene: Scene) -> None:
    scene.show(training("t1"))
    new = summary("t1", results={"robust_accuracy": share(0.5), "best_step": Measure(450, unit="steps")})
    scene.hub.send(FeedUpdate(summary=new))
    assert scene.page.results.rowCount() == 2
    assert scene.page.results.index(1, 1).data() == "450 steps"
    assert scene.page.tabs.tabText(2) == "Results  2"


def test_checks_stand_behind_the_measurements_and_say_how_they_ended(scene: Scene) -> None:
    results = {
        "check/gradients_do_not_vanish": Measure(
            0.0, n=100, unit="passed", description="gradients vanish for 80 images"
        ),
        "check/more_steps_are_not_weaker": Measure(1.0, n=100, unit="passed"),
        "robust_accuracy": share(0.5),
    }
    scene.show(FeedUpdate(summary=summary("e1", "evaluate", RunState.FINISHED, results=results), reset=True))
    model = scene.page.results
    assert [(model.index(r, 0).data(), model.index(r, 1).data()) for r in range(3)] == [
        ("Robust accuracy", "50.0 %"),
        ("Check: gradients do not vanish", "✗ failed"),
        ("Check: more steps are not weaker", "✓ passed"),
    ]
    assert model.index(1, 1).data(Qt.ItemDataRole.ForegroundRole).name() == THEMES["light"].bad
    assert model.index(2, 1).data(Qt.ItemDataRole.ForegroundRole) is None


def test_a_run_with_pictures_only_shows_them(scene: Scene) -> None:
    full = training("g1", state=RunState.FINISHED)
    scene.show(FeedUpdate(summary=summary("g1", "generate", RunState.FINISHED), reset=True, pictures=full.pictures))
    assert scene.page.tabs.currentIndex() == 1
    assert scene.page.images.shown is not None


def test_steps_are_called_what_the_run_counts(scene: Scene) -> None:
    scene.show(certification("c1"))
    chart = scene.page.board.charts["metric:average_certified_radius"]
    assert chart.area.getPlotItem().getAxis("bottom").labelText == "images"
    scene.show(training("t1"))
    assert scene.page.board.charts["metric:loss"].area.getPlotItem().getAxis("bottom").labelText == "steps"


def test_every_control_has_a_name_and_can_be_reached_by_keys(scene: Scene) -> None:
    scene.show(training("t1"))
    kinds = (
        QPushButton,
        QToolButton,
        QComboBox,
        QLineEdit,
        QSlider,
        QTableView,
        QTreeView,
        QTabWidget,
        PlotArea,
        Legend,
    )
    for kind in kinds:
        found = [widget for widget in scene.page.findChildren(kind) if widget.isVisible()]
        found = [widget for widget in found if not isinstance(widget.parent(), QLineEdit | QTabBar)]
        nameless = [w for w in found if not (w.accessibleName() or (isinstance(w, QAbstractButton) and w.text()))]
        assert not nameless, kind
    for widget in (scene.page.status.pause, scene.page.status.stop, scene.page.controls.slider, scene.page.log.search):
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus


@pytest.mark.parametrize("size", [(640, 560), (1000, 650), (1800, 1100)])
def test_nothing_is_wider_than_the_page(scene: Scene, size: tuple[int, int]) -> None:
    scene.show(training("t1"))
    scene.page.resize(*size)
    scene.settle()
    assert scene.page.width() == size[0], "the page must not insist on more room than it is given"
    assert scene.page.board.grid.columns == {640: 1, 1000: 2, 1800: 4}[size[0]]


def test_metrics_that_arrive_late_may_regroup_the_charts_but_draw_nothing_twice(scene: Scene) -> None:
    steps, values = np.arange(1, 11), np.linspace(1, 0.5, 10)
    early = {name: series(steps, values) for name in ("loss", "loss/sigma_low", "loss/sigma_high")}
    scene.show(FeedUpdate(summary=summary("a"), reset=True, metrics=early))
    assert {key: set(chart.curves) for key, chart in scene.page.board.charts.items()} == {"metric:loss": set(early)}
    scene.hub.send(FeedUpdate(summary=summary("a"), metrics={"loss/sigma_mid": series(steps, values)}))
    scene.settle()
    drawn = {key: set(chart.curves) for key, chart in scene.page.board.charts.items()}
    assert drawn == {
        "metric:loss": {"loss"},
        "metric:loss_parts": {"loss/sigma_low", "loss/sigma_mid", "loss/sigma_high"},
    }


def test_a_hidden_metric_stays_hidden_in_whatever_chart_until_another_run_comes(scene: Scene) -> None:
    steps, values = np.arange(1, 11), np.linspace(1, 0.5, 10)
    early = {name: series(steps, values) for name in ("loss", "loss/sigma_low", "loss/sigma_high")}
    scene.show(FeedUpdate(summary=summary("a"), reset=True, metrics=early))
    scene.page.board.charts["metric:loss"].legend.toggled.emit("loss/sigma_low")
    scene.hub.send(FeedUpdate(summary=summary("a"), metrics={"loss/sigma_mid": series(steps, values)}))
    scene.settle()

    def hidden() -> list[str]:
        charts = scene.page.board.charts.values()
        return [name for chart in charts for name, curve in chart.curves.items() if not curve.shown]

    assert hidden() == ["loss/sigma_low"] and "loss/sigma_low" not in scene.page.board.charts["metric:loss"].curves
    scene.hub.send(FeedUpdate(summary=summary("a"), reset=True))
    scene.hub.send(FeedUpdate(summary=summary("a"), metrics=early))
    assert hidden() == ["loss/sigma_low"], "it was gone for a moment"
    scene.page.board.charts["metric:loss"].legend.toggled.emit("loss/sigma_low")
    scene.hub.send(FeedUpdate(summary=summary("a"), reset=True, metrics=early))
    assert hidden() == []
    scene.page.board.charts["metric:loss"].legend.toggled.emit("loss/sigma_high")
    scene.show(FeedUpdate(summary=summary("b"), reset=True, metrics=early))
    assert hidden() == []
