"""A kind of job and its metric from another package: its specification and its function, and everything knows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from pytestqt.qtbot import QtBot
from support.outside_kind import ENTRY, JOB, SPEC, find_anew, put_package

from difrob.cli import main
from difrob.comparison import result_rows, unlike_conditions
from difrob.runs import RunState, Workspace
from difrob.specs import KINDS
from difrob_gui.app import compose_window
from difrob_gui.charts.ticks import Scale
from difrob_gui.main_window import MainWindow
from difrob_gui.settings import WindowSettings
from difrob_gui.widgets.method_cards import MethodCards
from difrob_gui.widgets.spec_form import SpecForm

PATIENCE = 90_000


@pytest.fixture(autouse=True)
def brightness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    put_package(tmp_path / "site")
    find_anew(tmp_path / "site", monkeypatch)
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == "brightness"]:
        del sys.modules[module]


@pytest.fixture
def window(qtbot: QtBot, workspace: Workspace, tmp_path: Path) -> Iterator[MainWindow]:
    window = compose_window(workspace, WindowSettings(tmp_path / "window.ini"), theme="light")
    window.show()
    window.start()
    yield window
    window.close()
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_it_takes_fewer_than_sixty_lines() -> None:
    assert len("".join((SPEC, JOB, ENTRY)).splitlines()) < 60


def test_the_command_line_lists_and_runs_it(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "brightness", "--fields"]) == 0
    listed = capsys.readouterr().out
    assert "Measure brightness (brightness)." in listed and "How many of them. Empty: all." in listed
    assert main(["run", "--help"]) == 0 and "brightness: How bright" in capsys.readouterr().out
    assert main(["run", "brightness", "-s", "imges=3"]) == 2
    assert "did you mean 'images'?" in capsys.readouterr().err
    assert main(["run", "brightness", "-s", "dataset=toy-ring", "-w", str(workspace.root)]) == 2
    assert "only a diffusion model learns from points" in capsys.readouterr().err
    for images in ("none", "50"):
        assert main(["run", "brightness", "-s", f"images={images}", "-w", str(workspace.root), "--device", "cpu"]) == 0
        assert "mean_brightness: " in (said := capsys.readouterr().out) and " %" in said
    summaries = workspace.summaries()
    recorded = {(run.results["mean_brightness"].title, run.results["mean_brightness"].better) for run in summaries}
    assert recorded == {("mean brightness of the images", "up")}, (
        "a file says what its numbers are, whoever declared them"
    )
    assert [item.sentence for item in unlike_conditions(summaries[::-1])] == ["images (all · 50)"]
    assert main(["doctor", "-w", str(workspace.root)]) in (0, 5)
    assert "'brightness' of package brightness 1.0: Measure brightness" in capsys.readouterr().out


def test_cards_and_form_are_made_from_its_specification(qtbot: QtBot) -> None:
    cards, form = MethodCards(), SpecForm(KINDS["brightness"])
    for widget in (cards, form):
        qtbot.addWidget(widget)
    assert list(cards.cards)[-1] == "brightness" and cards.cards["brightness"].text() == "Measure brightness"
    assert form.validate() and form.rows["images"].editor.inner.placeholderText() == "empty = all"
    form.rows["images"].set_value(0)
    assert not form.validate() and form.problems[0].message == "must be at least 1"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_form_queue_worker_table_monitor_and_compare_know_it(qtbot: QtBot, window: MainWindow) -> None:
    window.show_page("launch")
    window.launch._cards["brightness"].click()
    form = window.launch.form
    assert list(form.rows) == ["dataset", "images", "steps"]
    assert form.rows["images"].editor.inner.placeholderText() == "empty = all"
    run_ids = []
    for images in (None, 50):
        form.rows["images"].set_value(images)
        qtbot.waitUntil(lambda: window.client.is_connected, timeout=PATIENCE)
        with qtbot.waitSignal(window.launch.submitted, timeout=PATIENCE) as told:
            window.actions_table["run.start"].trigger()
        run_ids += told.args[0]

    def ended(run_id: str) -> bool:
        row = window.runs.model.row(run_id)
        return row is not None and row.state is RunState.FINISHED and row.has_file

    qtbot.waitUntil(lambda: all(map(ended, run_ids)), timeout=2 * PATIENCE)
    window.runs.model.set_filter("kind:brightness")
    assert window.runs.model.rowCount() == 2

    window.show_run(run_ids[0])
    qtbot.waitUntil(lambda: bool(window.monitor.board.charts), timeout=PATIENCE)
    (chart,) = window.monitor.board.charts.values()
    assert chart.title == "Mean brightness of the images" and chart.y_scale is Scale.SHARE
    assert list(chart.curves) == ["mean_brightness"] and len(chart.curves["mean_brightness"].data) == 5

    window.runs.model.set_checked_ids(run_ids)
    window.compare()
    summaries = [window.workspace.reader(run_id).summary() for run_id in run_ids]
    assert [item.sentence for item in unlike_conditions(summaries)] == ["images (all · 50)"]
    qtbot.waitUntil(lambda: "images (all · 50)" in window.compare_page.banner.message, timeout=PATIENCE)
    table = window.compare_page.results.model
    assert table.index(0, 0).data() == "Mean brightness of the images" and "%" in table.index(0, 1).data()
    # Measured on other images, neither is called best; of like ones, the brighter is, because it is declared so.
    assert not any(row.best for row in result_rows(summaries))
    like = [replace(run, spec={**run.spec, "images": None}) for run in summaries]
    (row,) = result_rows(like)
    assert row.best == {max(like, key=lambda run: run.results["mean_brightness"].value).run_id}
