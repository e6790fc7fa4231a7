"""Which runs a picture shows, and when it is ready to be taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData
from difrob_gui.screenshots import Wish, take


@pytest.mark.parametrize("wish", [Wish(monitor="nosuch"), Wish(compare=("nosuch",)), Wish(data="nosuch")])
def test_unknown_names_are_refused_before_anything_is_written(tmp_path: Path, wish: Wish) -> None:
    Workspace(tmp_path / "w")
    with pytest.raises(UserError, match="'nosuch'"):
        take(tmp_path / "w", tmp_path / "out", wish)
    assert not (tmp_path / "out").exists()


def test_a_chart_says_that_it_is_behind_and_that_values_are_read(qtbot) -> None:
    chart = Chart("Loss")
    qtbot.addWidget(chart)
    chart.resize(500, 320)
    chart.show()
    qtbot.waitExposed(chart)
    scheduler().flush()
    assert chart.area.is_waiting
    data = SeriesData()
    data.extend(np.array([0, 1]), np.array([0.0, 1.0]), np.array([3.0, 2.0]))
    chart.add_curve("loss", "loss", data)
    assert chart.is_behind and chart.area.is_waiting
    QApplication.processEvents()
    scheduler().flush()
    qtbot.waitUntil(lambda: not chart.is_behind)
    assert not chart.area.is_waiting
    chart.clear()
    assert chart.area.is_waiting
