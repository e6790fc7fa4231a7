"""What leaves a chart is read back here."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QToolButton

from difrob_gui.charts.chart import Chart
from difrob_gui.charts.exporting import COLUMNS, columns_of, export, image_of, write_csv, write_svg
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData
from difrob_gui.charts.ticks import Scale
from difrob_gui.theme import current_theme

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def chart(qtbot) -> Chart:
    chart = Chart("Robust accuracy", y_scale=Scale.SHARE)
    qtbot.addWidget(chart)
    chart.resize(520, 340)
    step = np.arange(0, 500, 50)
    value = 0.1 + step / 1000
    measured = SeriesData()
    measured.extend(step, 1e9 + 0.25 * step, value, value - 0.05, value + 0.05)
    chart.add_curve("v", "robust, validation", measured, 0, interval="Wilson 95 %")
    plain = SeriesData()
    plain.extend(np.array([0, 1]), np.array([1e9, 1e9 + 1]), np.array([1 / 3, np.nan]))
    chart.add_curve("t", "robust, train", plain, 1)
    hidden = SeriesData()
    hidden.extend(np.array([0]), np.array([0.0]), np.array([0.5]))
    chart.add_curve("h", "hidden one", hidden, 2)
    chart.set_curve_shown("h", False)
    chart.show()
    for _ in range(3):
        QApplication.processEvents()
        scheduler().flush()
    return chart


def test_csv_holds_every_shown_sample_in_full_precision(chart: Chart, tmp_path: Path, qtbot) -> None:
    path = tmp_path / "accuracy.csv"
    done: list[tuple[Path, str]] = []
    export(chart, path, lambda *told: done.append(told))
    qtbot.waitUntil(lambda: bool(done))
    assert done == [(path, "")]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    measured = [row for row in rows if row["curve"] == "robust, validation"]
    assert [float(row["x"]) for row in measured] == list(range(0, 500, 50))
    assert [float(row["elapsed_seconds"]) for row in measured] == [0.25 * x for x in range(0, 500, 50)]
    assert [float(row["value"]) for row in measured] == [0.1 + x / 1000 for x in range(0, 500, 50)]
    assert float(measured[1]["low"]) == 0.1 + 50 / 1000 - 0.05
    assert measured[0]["interval"] == "Wilson 95 %"
    train = [row for row in rows if row["curve"] == "robust, train"]
    assert float(train[0]["value"]) == 1 / 3 and train[1]["value"] == "nan" and train[0]["low"] == ""
    assert len(rows) == 12, "hidden curves stay out"
    assert list(tmp_path.iterdir()) == [path], "nothing unfinished is left"


def test_png_is_the_card_at_twice_the_resolution(chart: Chart, tmp_path: Path) -> None:
    path = tmp_path / "accuracy.png"
    told: list[str] = []
    export(chart, path, lambda _path, error: told.append(error))
    assert told == [""]
    image = QImage(str(path))
    assert (image.width(), image.height()) == (1040, 680)
    wanted = current_theme().series[0]
    colours = {image.pixelColor(x, y).name() for x in range(0, 1040, 2) for y in range(200, 600)}
    assert wanted in colours, "the curve is in the picture"


def test_svg_is_well_formed_and_says_what_the_chart_says(chart: Chart, tmp_path: Path) -> None:
    path = tmp_path / "accuracy.svg"
    write_svg(chart, path)
    root = Xml.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    said = [(element.text or "").strip() for element in root.iter(f"{SVG}text")]
    assert "Robust accuracy" in said
    assert any(text.startswith("robust, validation") for text in said)
    assert "band: Wilson 95 %" in " ".join(said)
    assert not any("hidden one" in text for text in said)
    assert {"0 %", "100 %", "step"} <= set(said)
    colours = {element.get("stroke") for element in root.iter()}
    assert current_theme().series[0] in colours
    lines = [element for element in root.iter(f"{SVG}line") if element.get("stroke-dasharray")]
    assert lines, "the dash of the second curve is in the legend"


def test_svg_does_not_change_what_is_on_the_screen(chart: Chart, tmp_path: Path) -> None:
    before = image_of(chart)
    write_svg(chart, tmp_path / "a.svg")
    assert image_of(chart) == before


@pytest.mark.parametrize("ending", ["csv", "png", "svg"])
def test_a_folder_that_is_not_there_is_told_in_one_sentence(chart: Chart, tmp_path: Path, qtbot, ending: str) -> None:
    told: list[str] = []
    export(chart, tmp_path / "absent" / f"a.{ending}", lambda _path, error: told.append(error))
    qtbot.waitUntil(lambda: bool(told))
    assert f"a.{ending}" in told[0] and "could not be written" in told[0]


def test_an_unknown_ending_names_the_known_ones(chart: Chart, tmp_path: Path) -> None:
    told: list[str] = []
    export(chart, tmp_path / "a.bmp", lambda _path, error: told.append(error))
    assert ".csv, .png or .svg" in told[0]


def test_a_failed_csv_leaves_an_older_file_alone(chart: Chart, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("difrob_gui.charts.exporting.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_csv(columns_of(chart), path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_the_menu_offers_axes_and_exports(chart: Chart) -> None:
    menu = ChartMenu(chart)
    menu.fill()
    texts = [action.text() for action in menu.actions()]
    assert "Export data as CSV…" in texts and "Export picture as SVG…" in texts and "Elapsed time" in texts
    elapsed = next(action for action in menu.actions() if action.text() == "Elapsed time")
    elapsed.trigger()
    assert chart.area.getPlotItem().getAxis("bottom").labelText == "elapsed time"
    copy = next(action for action in menu.actions() if action.text() == "Copy picture")
    copy.trigger()
    assert QApplication.clipboard().image().width() == 1040


def test_the_menu_opens_from_its_button_and_by_a_right_click_on_the_plot(chart: Chart, qtbot) -> None:
    button = next(b for b in chart.findChildren(QToolButton) if b.toolTip().startswith("Axes and export"))
    assert chart.menu is None and not button.isVisible()
    menu = ChartMenu(chart)
    chart.set_menu(menu)
    assert chart.menu is menu and button.menu() is menu and button.isVisible()
    chart.area.menu_wanted.emit(chart.mapToGlobal(QPoint(20, 20)))
    assert menu.isVisible() and "Copy picture" in [action.text() for action in menu.actions()]
    menu.close()
