"""Updates put together."""

from __future__ import annotations

import numpy as np
from support.gui_fakes import series, summary

from difrob.runs import Curve, FeedUpdate, LogLine, Pictures
from difrob_gui.models.run_data import RunData


def update(reset: bool = False, **parts) -> FeedUpdate:
    return FeedUpdate(summary=summary("r"), reset=reset, **parts)


def test_metrics_are_appended_and_keep_their_object() -> None:
    run = RunData("r")
    run.apply(update(True, metrics={"loss": series(np.arange(3), np.array([3.0, 2.0, 1.0]))}))
    loss = run.metrics["loss"]
    run.apply(
        update(
            metrics={
                "loss": series(np.arange(3, 5), np.array([0.5, 0.4])),
                "acc": series(np.array([4]), np.array([0.9]), 0.1),
            }
        )
    )
    assert run.metrics["loss"] is loss, "charts hold on to it"
    np.testing.assert_array_equal(loss.value, [3, 2, 1, 0.5, 0.4])
    assert run.metrics["acc"].has_band and not loss.has_band


def test_a_reset_begins_anew_with_new_objects() -> None:
    run = RunData("r")
    run.apply(update(True, metrics={"loss": series(np.arange(3), np.ones(3))}, log=[LogLine(0, "info", "a")]))
    loss = run.metrics["loss"]
    run.apply(update(True, metrics={"loss": series(np.arange(2), np.ones(2))}, log=[LogLine(0, "info", "b")]))
    assert run.metrics["loss"] is not loss and len(run.metrics["loss"]) == 2
    assert [line.text for line in run.log] == ["b"]


def test_curves_replace_pictures_and_lines_append() -> None:
    run = RunData("r")
    x = np.linspace(0, 1, 3)
    for step in (1, 2):
        run.apply(
            update(
                curves=[Curve("certified", step, x, x * step, x, x)],
                pictures=[Pictures("generated", step, np.zeros((1, 8, 8, 1), np.uint8))],
                log=[LogLine(step, "info", str(step))],
            )
        )
    assert run.curves["certified"].step == 2
    assert [batch.step for batch in run.pictures["generated"]] == [1, 2]
    assert [line.text for line in run.log] == ["1", "2"]
    data = run.drawn_curves["certified"]
    np.testing.assert_array_equal(data.value, [0, 1, 2])
    assert data.has_band
    run.apply(update(log=[LogLine(3, "info", "3")]))
    assert run.drawn_curves["certified"] is data, "charts tell by it that they have drawn it"
    run.apply(update(curves=[Curve("certified", 3, x, x, x, x)]))
    assert run.drawn_curves["certified"] is not data


def test_pictures_of_a_step_replace_earlier_ones_of_that_step() -> None:
    run = RunData("r")
    old, new = (Pictures("adversarial", 50, np.full((1, 2, 2, 1), shade, np.uint8)) for shade in (0, 9))
    run.apply(update(True, pictures=[old, Pictures("adversarial", 100, old.images)]))
    run.apply(update(pictures=[new]))
    assert [(batch.step, int(batch.images.max())) for batch in run.pictures["adversarial"]] == [(50, 9), (100, 0)]
