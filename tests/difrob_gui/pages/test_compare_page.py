"""The Compare page with hand-made runs."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import QApplication
from support.gui_fakes import FakeClient, FakeHub, certification, series, summary, training
from support.shown_choices import choose

from difrob.runs import FeedUpdate, RunState
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.pages.compare import ComparePage
from difrob_gui.theme import apply_theme
from difrob_gui.themes import THEMES


class Scene:
    """A page with its hub, and three trainings and two certifications to choose from."""

    def __init__(self, qtbot) -> None:
        apply_theme(QApplication.instance(), THEMES["light"])
        self.hub = FakeHub()
        for number, eps in enumerate((0.15, 0.15, 0.1)):
            run_id = f"t{number}"
            spec = {"beta": 5.0 + number, "attack": {"norm": "linf", "eps": eps}}
            self.hub.runs[run_id] = training(
                run_id, state=RunState.FINISHED, strength=1 - 0.1 * number, seed=number, spec=spec
            )
        for sigma in (0.25, 0.5):
            self.hub.runs[f"c{sigma}"] = certification(f"c{sigma}", sigma=sigma)
        self.page = ComparePage(self.hub, FakeClient())
        qtbot.addWidget(self.page)
        self.page.resize(1000, 800)
        self.page.show()
        qtbot.waitExposed(self.page)

    def show(self, *run_ids: str) -> None:
        self.page.show_runs(list(run_ids))
        self.settle()

    def settle(self) -> None:
        for _ in range(3):
            QApplication.processEvents()
            scheduler().flush()

    def check(self, row: int, state: Qt.CheckState) -> None:
        self.page.runs.setData(self.page.runs.index(row, 0), state.value, Qt.ItemDataRole.CheckStateRole)
        self.settle()


@pytest.fixture
def scene(qtbot):
    scene = Scene(qtbot)
    yield scene
    scene.page.hide()
    scheduler().flush()


def column(model, row: int) -> list[str]:
    return [str(model.index(row, c).data() or "") for c in range(model.columnCount(QModelIndex()))]


def test_without_runs_it_says_what_to_do(scene: Scene) -> None:
    assert scene.page._stack.currentIndex() == 0
    scene.show("t0")
    assert scene.page._stack.currentIndex() == 1
    scene.show()
    assert scene.page._stack.currentIndex() == 0 and dict(scene.hub.watched) == {}


def test_one_metric_of_all_runs_in_one_chart(scene: Scene) -> None:
    scene.show("t0", "t1")
    chart = scene.page.metrics.chart
    assert isinstance(chart.menu, ChartMenu)
    assert scene.page.metrics.chosen_metric == "validation/robust_accuracy", "what matters most comes first"
    assert list(chart.curves) == ["t0", "t1"]
    assert chart.legend.note == "band: Wilson 95 %"
    for run_id in ("t0", "t1"):
        wanted = scene.hub.runs[run_id].metrics["validation/robust_accuracy"].value
        np.testing.assert_array_equal(chart.curves[run_id].line.yData, wanted)
    styles = [chart.curves[run_id].style for run_id in chart.curves]
    assert styles == [0, 1]
    choose(scene.page.metrics.chooser, "loss")
    scene.settle()
    assert chart.title == "Loss" and not chart.curves["t0"].data.has_band
    assert list(chart.curves) == ["t0", "t1"]


def test_only_what_two_runs_share_is_offered_and_the_rest_is_named(scene: Scene) -> None:
    scene.show("t0", "t1", "c0.25")
    offered = {scene.page.metrics.chooser.itemData(k) for k in range(scene.page.metrics.chooser.count())}
    assert "loss" in offered and "average_certified_radius" not in offered
    assert scene.page.metrics.missing.text() == "Robust accuracy (validation) was not recorded by c0.25."
    assert scene.page.curves.missing.text() == "Certified accuracy was not recorded by t0, t1."
    scene.show("t0", "c0.25")
    assert scene.page.metrics._stack.currentIndex() == 0
    assert "no metric that two of them share" in scene.page.metrics._empty.text


def test_certified_accuracy_is_overlaid_with_bands(scene: Scene) -> None:
    scene.show("c0.25", "c0.5")
    scene.page.tabs.setCurrentIndex(1)
    scene.settle()
    chart = scene.page.curves.charts["certified_accuracy"]
    assert isinstance(chart.menu, ChartMenu)
    assert list(chart.curves) == ["c0.25", "c0.5"]
    assert chart.legend.note == "band: Clopper-Pearson 95 %"
    for curve in chart.curves.values():
        assert curve.band.isVisible()
        recorded = scene.hub.runs[curve.key].curves[0]
        np.testing.assert_array_equal(curve.line.yData, recorded.y)


def test_the_banner_names_what_differs_and_goes_when_it_does_not(scene: Scene) -> None:
    scene.show("t0", "t1")
    assert scene.page.banner.message == ""
    scene.show("t0", "t1", "t2")
    assert "Not like with like." in scene.page.banner.message
    assert "eps (0.15 · 0.1)" in scene.page.banner.message
    scene.check(2, Qt.CheckState.Unchecked)
    assert scene.page.banner.message == "", "a run that is switched off is not compared"


def test_a_run_switched_off_leaves_charts_and_tables_and_comes_back(scene: Scene) -> None:
    scene.show("t0", "t1", "c0.25", "c0.5")
    page = scene.page
    scene.check(1, Qt.CheckState.Unchecked)
    assert page.runs.shown_ids == ["t0", "c0.25", "c0.5"]
    assert page.count.text() == "4 runs, 1 switched off"
    headers = [
        page.results.model.headerData(c, Qt.Orientation.Horizontal) for c in range(page.results.model.columnCount())
    ]
    assert headers == ["Result", "t0", "c0.25", "c0.5"]
    scene.check(1, Qt.CheckState.Checked)
    assert page.metrics.chart.curves["t1"].shown
    assert page.results.model.columnCount() == 5


def test_the_legend_switches_a_run_off_everywhere(scene: Scene, qtbot) -> None:
    scene.show("t0", "t1", "t2")
    page = scene.page
    place = page.metrics.chart.legend.places[2].center().toPoint()
    qtbot.mouseClick(page.metrics.chart.legend, Qt.MouseButton.LeftButton, pos=place)
    scene.settle()
    assert page.runs.shown_ids == ["t0", "t1"]
    assert page.runs.index(2, 0).data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Unchecked
    assert page.banner.message == ""


def test_results_stand_side_by_side_and_the_best_is_named(scene: Scene) -> None:
    scene.show("t0", "t1")
    model = scene.page.results.model
    rows = {column(model, r)[0]: column(model, r)[1:] for r in range(model.rowCount())}
    assert rows["Best validation robust accuracy"][0].startswith("65.0 %  [")
    assert rows["Best validation robust accuracy"][0].endswith("· best")
    assert rows["Best validation robust accuracy"][1].endswith("· ≈ best")
    assert not any("best" in text for text in rows["Best validation clean accuracy"]), "equal numbers have no best"
    tip = model.index(1, 1).data(Qt.ItemDataRole.ToolTipRole)
    assert "PGD-40 linf 0.15" in tip and "197 samples" in tip
    scene.show("t0", "t2")
    assert not any("best" in text for r in range(model.rowCount()) for text in column(model, r)[1:])


def test_specifications_show_differences_or_everything(scene: Scene) -> None:
    scene.show("t0", "t2")
    tab = scene.page.differences
    assert [column(tab.model, r) for r in range(tab.model.rowCount())] == [
        ["beta", "5", "7"], ["attack.eps", "0.15", "0.1"],
    ]  # fmt: skip
    assert "fields alike, not shown" in tab.note.text()
    tab.only.setChecked(False)
    paths = [column(tab.model, r)[0] for r in range(tab.model.rowCount())]
    assert "≠ attack.eps" in paths and "attack.norm" in paths
    scene.show("t0")
    assert tab._stack.currentIndex() == 0


def test_alike_specifications_say_so(scene: Scene) -> None:
    spec = {**scene.hub.runs["t0"].summary.spec, "name": "twin"}
    scene.hub.runs["twin"] = training("twin", state=RunState.FINISHED, spec=spec)
    scene.show("t0", "twin")
    assert scene.page.differences.model.rowCount() == 0
    assert scene.page.differences.note.text().endswith("are alike.")


def test_a_run_keeps_its_line_when_others_come_and_go(scene: Scene) -> None:
    scene.show("t0", "t1", "t2")
    assert [scene.page.runs.style_of(r) for r in ("t0", "t1", "t2")] == [0, 1, 2]
    scene.show("t1", "t2")
    assert [scene.page.runs.style_of(r) for r in ("t1", "t2")] == [1, 2]
    scene.show("t1", "t2", "c0.25")
    assert scene.page.runs.style_of("c0.25") == 0
    assert scene.page.metrics.chart.curves["t2"].style == 2


def test_only_the_chosen_runs_are_watched(scene: Scene) -> None:
    scene.show("t0", "t1")
    scene.show("t1", "t2", "t1")
    assert dict(scene.hub.watched) == {"t1": 1, "t2": 1}
    assert list(scene.page.metrics.chart.curves) == ["t1", "t2"]


def test_live_runs_grow_in_view(scene: Scene) -> None:
    live = training("live", state=RunState.RUNNING, steps=300)
    scene.hub.runs["live"] = live
    scene.show("t0", "live")
    chart = scene.page.metrics.chart
    before = len(chart.curves["live"].data)
    value = series(np.array([350]), np.array([0.7]), 0.05)
    scene.hub.send(FeedUpdate(summary=live.summary, metrics={"validation/robust_accuracy": value}))
    scene.settle()
    assert len(chart.curves["live"].data) == before + 1
    assert chart.legend.entries[1].value == "70.0 %"


def test_a_run_read_again_does_not_double(scene: Scene) -> None:
    scene.show("t0", "t1")
    before = len(scene.page.metrics.chart.curves["t0"].data)
    scene.hub.send(scene.hub.runs["t0"])
    scene.settle()
    assert len(scene.page.metrics.chart.curves["t0"].data) == before


def test_runs_of_one_name_are_told_apart(scene: Scene) -> None:
    for seed in (0, 1):
        run_id = f"20261120-trades-{seed}aaaaa"
        scene.hub.runs[run_id] = FeedUpdate(
            summary=summary(run_id, name="trades", state=RunState.FINISHED, spec={"seed": seed}), reset=True
        )
    scene.show("20261120-trades-0aaaaa", "20261120-trades-1aaaaa")
    assert [scene.page.runs.index(r, 0).data() for r in range(2)] == ["trades (seed 0)", "trades (seed 1)"]


def test_runs_without_training_are_compared_by_their_curves_first(scene: Scene) -> None:
    scene.show("c0.25", "c0.5")
    assert scene.page.tabs.currentIndex() == 1
    scene.show("t0", "t1")
    assert scene.page.tabs.currentIndex() == 0
    scene.page.tabs.tabBarClicked.emit(2)
    scene.page.tabs.setCurrentIndex(2)
    scene.show("c0.25", "c0.5")
    assert scene.page.tabs.currentIndex() == 2, "who has chosen a tab keeps it"


def test_an_unreadable_run_is_named(scene: Scene) -> None:
    scene.show("t0", "gone")
    scene.hub.fail("gone", "there is no run 'gone' any more; untick it")
    assert scene.page.problem.message == "gone cannot be read. there is no run 'gone' any more; untick it"
    assert scene.page.runs.index(1, 3).data() == "reading …"
    scene.hub.run("other")
    scene.hub.fail("other", "something else")
    assert "something else" not in scene.page.problem.message


def test_the_table_of_runs_is_painted_with_lines_in_their_colours(scene: Scene) -> None:
    scene.show("t0", "t1", "t2")
    page = scene.page
    picture = page.table.grab().toImage()
    colours = {
        picture.pixelColor(x, y).name() for x in range(0, picture.width()) for y in range(0, picture.height(), 1)
    }
    assert set(THEMES["light"].series[:3]) <= colours
    assert page.runs.index(1, 1).data(Qt.ItemDataRole.AccessibleTextRole) == "line style 2"


@pytest.mark.parametrize("size", [(700, 560), (1000, 650), (1700, 1000)])
def test_the_page_takes_the_room_that_it_is_given(scene: Scene, size: tuple[int, int]) -> None:
    scene.show("t0", "t1", "t2", "c0.25", "c0.5")
    scene.page.resize(*size)
    scene.settle()
    assert (scene.page.width(), scene.page.height()) == size


def test_runs_that_only_measured_open_on_a_tab_with_content(scene) -> None:
    known = scene.hub.runs["c0.25"]
    scene.hub.runs["a0"] = FeedUpdate(
        summary=summary("a0", "analyse", RunState.FINISHED), curves=known.curves, reset=True
    )
    scene.show("a0")
    assert scene.page.tabs.tabText(scene.page.tabs.currentIndex()) == "Other curves"
    assert scene.page.curves.charts and scene.page.unread == []
    scene.show("t0", "t1")
    assert scene.page.tabs.tabText(scene.page.tabs.currentIndex()) == "Over training"
