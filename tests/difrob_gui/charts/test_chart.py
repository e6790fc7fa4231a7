"""The chart as a person sees and handles it."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from difrob_gui.charts.chart import Chart
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData, XAxis
from difrob_gui.charts.ticks import Scale
from difrob_gui.theme import apply_theme
from difrob_gui.themes import THEMES


def data_of(values, *, half: float | None = None, step: int = 10) -> SeriesData:
    values = np.asarray(values, dtype=float)
    x = np.arange(len(values)) * step
    data = SeriesData()
    data.extend(x, 100.0 + x, values, None if half is None else values - half, None if half is None else values + half)
    return data


def shown(qtbot, chart: Chart) -> Chart:
    qtbot.addWidget(chart)
    chart.resize(500, 320)
    chart.show()
    qtbot.waitExposed(chart)
    settle()
    return chart


def settle() -> None:
    """Let layout and drawing come to rest."""
    for _ in range(3):
        QApplication.processEvents()
        scheduler().flush()


def test_a_curve_is_drawn_as_it_is_and_grows(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    data = data_of([3, 2, 1])
    curve = chart.add_curve("loss", "loss", data)
    settle()
    np.testing.assert_array_equal(curve.line.xData, [0, 10, 20])
    np.testing.assert_array_equal(curve.line.yData, [3, 2, 1])
    data.extend(np.array([30]), np.array([130.0]), np.array([0.5]))
    chart.touch()
    settle()
    np.testing.assert_array_equal(curve.line.yData, [3, 2, 1, 0.5])
    low, high = chart.area.y_range
    assert low < 0.5 and high > 3
    assert chart.legend.entries[0].value == "0.5"


def test_a_hidden_chart_gets_data_but_no_paint(qtbot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    chart = Chart("Loss")
    QVBoxLayout(page).addWidget(chart)
    page.resize(500, 320)
    data = data_of([1, 2])
    curve = chart.add_curve("loss", "loss", data)
    chart.touch()
    assert scheduler().is_idle
    assert curve.line.xData is None or len(curve.line.xData) == 0
    page.show()
    qtbot.waitUntil(lambda: curve.line.xData is not None and len(curve.line.xData) == 2)
    page.hide()
    qtbot.waitUntil(lambda: scheduler().is_idle)
    data.extend(np.array([20]), np.array([120.0]), np.array([5.0]))
    chart.touch()
    assert scheduler().is_idle
    assert len(curve.line.xData) == 2
    page.show()
    qtbot.waitUntil(lambda: len(curve.line.xData) == 3)


def test_values_that_are_not_finite_make_gaps_and_are_counted(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    curve = chart.add_curve("loss", "loss", data_of([1, 2, np.nan, 3, np.inf, 4]))
    settle()
    assert np.isnan(curve.line.yData[[2, 4]]).all()
    assert curve.line.opts["connect"] == "finite"
    assert "2 not finite" in chart.legend.note
    # 3 and 4 stand alone between gaps: without dots nobody would see them.
    assert curve.dots.isVisible() and curve.dots.count >= 2


def test_a_long_noisy_curve_is_thin_and_thinned_a_short_one_wide_and_smooth(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    noise = chart.add_curve("noise", "noise", data_of(np.random.default_rng(0).normal(size=100_000)))
    calm = chart.add_curve("calm", "calm", data_of(np.linspace(0, 1, 50), step=20_000))
    settle()
    assert len(noise.line.xData) <= 4 * chart.area.pixels
    assert noise.line.opts["pen"].widthF() == 1 and not noise.line.opts["antialias"]
    assert calm.line.opts["pen"].widthF() == 2 * chart.devicePixelRatioF() and calm.line.opts["antialias"]


def test_the_log_axis_draws_logarithms_and_labels_numbers(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    curve = chart.add_curve("loss", "loss", data_of([100, 10, 0, 1]))
    chart.set_log_y(True)
    settle()
    np.testing.assert_allclose(curve.line.yData, [2, 1, np.nan, 0])
    low, high = chart.area.y_range
    assert -0.5 < low < 0 and 2 < high < 2.5
    labels = [text for _, text in chart.area.getPlotItem().getAxis("left")._tickLevels[0]]
    assert {"1", "10", "100"} <= set(labels)
    qtbot.keyClick(chart.area, Qt.Key.Key_L)
    assert not chart.is_log


def test_shares_have_a_fixed_axis_in_per_cent_and_no_log(qtbot) -> None:
    chart = shown(qtbot, Chart("Accuracy", y_scale=Scale.SHARE))
    chart.add_curve("a", "a", data_of([0.4, 0.5], half=0.05), interval="Wilson 95 %")
    settle()
    assert chart.area.y_range == (-0.02, 1.02)
    assert chart.legend.entries[0].value == "50.0 %"
    assert chart.legend.note == "band: Wilson 95 %"
    qtbot.keyClick(chart.area, Qt.Key.Key_L)
    assert not chart.is_log
    labels = [text for _, text in chart.area.getPlotItem().getAxis("left")._tickLevels[0]]
    assert labels[0] == "0 %" and labels[-1] == "100 %"


def test_smoothing_keeps_the_raw_curve_behind_and_leaves_measurements_alone(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    random = np.random.default_rng(0)
    loss = chart.add_curve("loss", "loss", data_of(random.normal(size=200)))
    measured = chart.add_curve("measured", "measured", data_of([0.0, 1.0, 0.0], half=0.1, step=900))
    chart.set_smoothing(0.9)
    settle()
    assert loss.faint.isVisible()
    np.testing.assert_array_equal(loss.faint.yData, loss.data.value)
    assert np.std(loss.line.yData) < 0.5 * np.std(loss.faint.yData)
    assert not measured.faint.isVisible()
    np.testing.assert_array_equal(measured.line.yData, [0, 1, 0])
    assert "smoothed 0.9" in chart.legend.note
    chart.set_smoothing(0.0)
    settle()
    assert not loss.faint.isVisible()
    np.testing.assert_array_equal(loss.line.yData, loss.data.value)


def test_a_long_smoothing_is_spread_and_comes_to_its_end(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    curves = [chart.add_curve(str(k), str(k), data_of(np.full(100_000, float(k)))) for k in range(5)]
    chart.set_smoothing(0.9)
    settle()
    qtbot.waitUntil(lambda: all(c.data.unsmoothed(0.9) == 0 for c in curves))
    qtbot.waitUntil(lambda: [e.value for e in chart.legend.entries] == ["0", "1", "2", "3", "4"])


def test_elapsed_time_along_x(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    data = SeriesData()
    data.extend(np.array([0, 100]), np.array([50.0, 350.0]), np.array([1.0, 2.0]))
    curve = chart.add_curve("loss", "loss", data)
    chart.set_x_axis(XAxis.ELAPSED)
    settle()
    np.testing.assert_array_equal(curve.line.xData, [0, 300])
    axis = chart.area.getPlotItem().getAxis("bottom")
    assert axis.labelText == "elapsed time"
    assert "1 min" in [text for _, text in axis._tickLevels[0]]


def test_the_read_out_tells_all_curves_where_the_pointer_stands(qtbot) -> None:
    chart = shown(qtbot, Chart("Accuracy", y_scale=Scale.SHARE))
    chart.add_curve("a", "a", data_of([0.1, 0.2, 0.3], half=0.05))
    chart.add_curve("b", "b", data_of([0.5, 0.6, 0.7]))
    settle()
    moves: list[float | None] = []
    chart.cursor_moved.connect(moves.append)
    chart.area.pointed.emit(11.0)
    settle()
    assert [e.value for e in chart.legend.entries] == ["20.0 % [15.0, 25.0]", "60.0 %"]
    assert chart.position_text == "step 10"
    qtbot.keyClick(chart.area, Qt.Key.Key_Escape)
    settle()
    assert [e.value for e in chart.legend.entries] == ["30.0 %", "70.0 %"]
    assert chart.position_text == ""
    assert moves == [11.0, None]


def test_arrow_keys_move_the_read_out_from_sample_to_sample(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    chart.add_curve("a", "a", data_of([1, 2, 3]))
    settle()
    for key, expected in ((Qt.Key.Key_Right, "step 0"), (Qt.Key.Key_Right, "step 10"), (Qt.Key.Key_Left, "step 0")):
        qtbot.keyClick(chart.area, key)
        settle()
        assert chart.position_text == expected


def test_zoom_and_pan_by_keys_stop_following_until_home(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    data = data_of(np.arange(100.0))
    chart.add_curve("a", "a", data)
    settle()
    whole = chart.area.x_range
    qtbot.keyClick(chart.area, Qt.Key.Key_Plus)
    assert not chart.follows
    zoomed = chart.area.x_range
    assert zoomed[1] - zoomed[0] < 0.9 * (whole[1] - whole[0])
    qtbot.keyClick(chart.area, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert chart.area.x_range[0] > zoomed[0]
    data.extend(np.array([5000]), np.array([5100.0]), np.array([5.0]))
    chart.touch()
    settle()
    assert chart.area.x_range[1] < 1200, "a view moved by hand must stay where it is"
    qtbot.keyClick(chart.area, Qt.Key.Key_Home)
    settle()
    assert chart.follows and chart.area.x_range[1] > 5000


def test_counts_that_get_another_word_keep_the_zoom_and_another_quantity_does_not(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss", x_label="step"))
    chart.add_curve("loss", "loss", data_of(range(100)))
    settle()
    chart.area.setFocus()
    qtbot.keyClick(chart.area, Qt.Key.Key_Plus)
    view = chart.area.x_range
    chart.set_axes("images", Scale.COUNT, Scale.NUMBER)
    settle()
    assert chart.area.x_range == view and not chart.follows
    assert chart.area.getPlotItem().getAxis("bottom").labelText == "images"
    chart.set_axes("images", Scale.COUNT, Scale.SHARE)
    assert chart.follows


def test_a_curve_that_is_taken_away_leaves_the_legend_at_once(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    for key in ("a", "b"):
        chart.add_curve(key, f"curve {key}", data_of([3, 2, 1], half=0.1), interval="Wilson 95 %")
    chart.set_cursor(10.0)
    settle()
    assert chart.position_text and chart.legend.note
    chart.remove_curve("a")
    assert [entry.key for entry in chart.legend.entries] == ["b"]
    assert "curve a" not in chart.area.accessibleDescription()
    chart.clear()
    assert chart.legend.entries == [] and chart.legend.note == chart.position_text == ""
    assert chart.area.accessibleDescription() == ""


def test_the_wheel_scrolls_the_page_unless_ctrl_is_held(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    chart.add_curve("a", "a", data_of(np.arange(100.0)))
    settle()

    def wheel(modifiers: Qt.KeyboardModifier) -> bool:
        middle = QPointF(chart.area.viewport().rect().center())
        event = QWheelEvent(
            middle, chart.area.mapToGlobal(middle), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, modifiers,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(chart.area.viewport(), event)
        return event.isAccepted()

    before = chart.area.x_range
    assert not wheel(Qt.KeyboardModifier.NoModifier)
    assert chart.area.x_range == before
    wheel(Qt.KeyboardModifier.ControlModifier)
    assert chart.area.x_range != before and not chart.follows


def test_the_legend_switches_curves_by_mouse_and_keys(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    a = chart.add_curve("a", "a", data_of([1, 2]))
    b = chart.add_curve("b", "b", data_of([100, 200]))
    settle()
    place = chart.legend.places[1].center().toPoint()
    qtbot.mouseClick(chart.legend, Qt.MouseButton.LeftButton, pos=place)
    settle()
    assert a.shown and not b.shown
    assert not b.line.isVisible()
    assert chart.area.y_range[1] < 3, "a hidden curve takes no room"
    assert "b" in chart.legend.accessibleDescription() and "(hidden)" in chart.legend.accessibleDescription()
    chart.legend.setFocus()
    qtbot.keyClick(chart.legend, Qt.Key.Key_Right)
    qtbot.keyClick(chart.legend, Qt.Key.Key_Space)
    settle()
    assert b.shown and b.line.isVisible()


def test_colours_follow_the_theme_and_no_two_styles_are_alike(qtbot) -> None:
    app = QApplication.instance()
    apply_theme(app, THEMES["light"])
    chart = shown(qtbot, Chart("Loss"))
    curves = [chart.add_curve(str(k), str(k), data_of([k, k + 1]), style=k) for k in range(8)]
    settle()

    def looks() -> list[tuple[str, tuple[float, ...]]]:
        return [(c.line.opts["pen"].color().name(), tuple(c.line.opts["pen"].dashPattern())) for c in curves]

    light = looks()
    assert [colour for colour, _ in light] == list(THEMES["light"].series)
    assert len({dash for _, dash in light}) == 8
    apply_theme(app, THEMES["dark"])
    settle()
    assert [colour for colour, _ in looks()] == list(THEMES["dark"].series)
    assert chart.area.backgroundBrush().color().name() == THEMES["dark"].plot_background
    apply_theme(app, THEMES["light"])


def test_many_runs_drop_the_raw_curves_behind(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    curves = [chart.add_curve(str(k), str(k), data_of(np.random.default_rng(k).normal(size=50)), k) for k in range(12)]
    chart.set_smoothing(0.9)
    settle()
    assert not any(curve.faint.isVisible() for curve in curves)


def test_curves_over_another_quantity_keep_their_axis(qtbot) -> None:
    chart = shown(qtbot, Chart("Certified", y_scale=Scale.SHARE, x_scale=Scale.NUMBER, x_label="radius"))
    chart.add_curve("c", "c", SeriesData.of_curve(np.linspace(0, 1, 11), np.linspace(1, 0, 11)))
    chart.set_x_axis(XAxis.ELAPSED)
    settle()
    assert chart.area.getPlotItem().getAxis("bottom").labelText == "radius"
    assert chart.x_axis is XAxis.STEP
    assert chart.legend.entries[0].value == "", "the value at the right end of such a curve says nothing"


def test_a_chart_that_is_gone_is_not_drawn(qtbot) -> None:
    chart = Chart("Loss")
    chart.show()
    chart.add_curve("a", "a", data_of([1, 2]))
    chart.touch()
    assert not scheduler().is_idle
    chart.close()
    chart.deleteLater()
    del chart
    QApplication.sendPostedEvents(None, 52)
    scheduler().flush()
    assert scheduler().is_idle


def test_leaving_with_open_charts_does_not_crash() -> None:
    """Qt hides and repolishes widgets while the interpreter shuts down; an override called then brings the process down."""
    script = """
import numpy as np
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData
app = QApplication([])
page = QWidget()
layout = QVBoxLayout(page)
for number in range(6):
    chart = Chart(str(number))
    chart.add_curve("a", "a", SeriesData.of_curve(np.arange(9.0), np.arange(9.0)))
    layout.addWidget(chart)
page.show()
app.processEvents()
scheduler().flush()
"""
    processes = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]


def test_removed_curves_leave_nothing_in_the_plot(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    before = len(chart.area.items())
    for round_ in range(5):
        for k in range(6):
            chart.add_curve(f"{round_}-{k}", "x", data_of([1, 2], half=0.1), k)
        settle()
        chart.clear()
    settle()
    assert len(chart.area.items()) == before
    assert chart.legend.entries == []


def test_repaints_do_not_eat_references(qtbot) -> None:
    """PySide6 6.12.0 loses a reference to None with each call that returns nothing, until the program aborts."""
    chart = shown(qtbot, Chart("Loss"))
    data = data_of(np.arange(50.0))
    chart.add_curve("a", "a", data)
    settle()
    gc.collect()
    before = sys.getrefcount(None)
    for k in range(300):
        data.extend(np.array([500 + k]), np.array([600.0 + k]), np.array([1.0]))
        chart.touch()
        scheduler().flush()
        chart.area.viewport().repaint()
    gc.collect()
    assert sys.getrefcount(None) - before > -300


def test_a_single_sample_is_a_round_dot(qtbot) -> None:
    chart = shown(qtbot, Chart("Certified", x_scale=Scale.NUMBER, x_label="radius"))
    data = SeriesData.of_curve(np.array([0.5]), np.array([0.5]))
    chart.add_curve("a", "a", data)
    settle()
    picture = chart.area.grab().toImage()
    colour = THEMES["light"].series[0]
    places = [(x, y) for x in range(picture.width()) for y in range(picture.height())]
    hits = [place for place in places if picture.pixelColor(*place).name() == colour]
    xs, ys = [x for x, _ in hits], [y for _, y in hits]
    assert 2 <= max(xs) - min(xs) <= 6 and 2 <= max(ys) - min(ys) <= 6


@pytest.mark.parametrize("count", [0, 1])
def test_charts_with_hardly_any_data(qtbot, count: int) -> None:
    chart = shown(qtbot, Chart("Loss"))
    curve = chart.add_curve("a", "a", data_of(np.ones(count)))
    settle()
    low, high = chart.area.y_range
    assert low < high
    assert curve.dots.isVisible() == (count == 1)


def test_every_control_has_a_name(qtbot) -> None:
    chart = shown(qtbot, Chart("Loss"))
    from PySide6.QtWidgets import QAbstractButton

    for button in chart.findChildren(QAbstractButton):
        assert button.accessibleName(), button
    assert chart.area.accessibleName() == "Loss plot"
    chart.add_curve("a", "a", data_of([1, 2.5]))
    settle()
    assert chart.area.accessibleDescription() == "a 2.5"
