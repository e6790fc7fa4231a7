"""By how much two runs differ, with an interval."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from difrob.cli import main
from difrob.cli.result_differences import share_difference
from difrob.runs import Measure, RunState, Workspace, new_run_id
from difrob.runs.recorder import RunRecorder
from difrob.specs import parse_spec


def share(k: int, n: int, interval: str = "Wilson 95 %") -> Measure:
    return Measure(k / n, 0.0, 1.0, n=n, interval=interval, unit="share")


def test_the_interval_of_a_published_example() -> None:
    """56 of 70 against 48 of 80: 0.2 with [0.0524, 0.3339] (Newcombe 1998, Statistics in Medicine 17:873, table II)."""
    found = share_difference(share(48, 80), share(56, 70))
    assert found is not None and found.unit == "share difference" and found.n == 70
    assert found.value == pytest.approx(0.2) and [found.low, found.high] == pytest.approx([0.0524, 0.3339], abs=5e-5)
    back = share_difference(share(56, 70), share(48, 80, "Clopper-Pearson 95 %"))
    assert back is not None and [back.low, back.high] == pytest.approx([-0.3339, -0.0524], abs=5e-5)


@pytest.mark.parametrize(
    "other",
    [
        replace(share(1, 3), unit="nats"),
        replace(share(1, 3), interval="Student t 95 %"),
        replace(share(1, 3), n=None),
        replace(share(1, 3), value=0.4),
        replace(share(1, 3), value=math.nan),
    ],
)
def test_what_counts_nothing_has_no_difference(other: Measure) -> None:
    assert share_difference(share(1, 3), other) is None and share_difference(other, share(1, 3)) is None


def add(workspace: Workspace, name: str, k: int, eps: float = 0.15) -> None:
    spec = parse_spec({"kind": "evaluate", "name": name, "classifier": "x", "attack": {"eps": eps}})
    recorder = RunRecorder(workspace, new_run_id(spec.kind, name), spec)
    recorder.result("clean_accuracy", share(k, 100))
    recorder.result("loss", Measure(0.5))
    recorder.finish(RunState.FINISHED)


def test_compare_shows_the_difference_of_two_like_runs(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    add(workspace, "first", 60)
    add(workspace, "second", 80)
    add(workspace, "third", 80, eps=0.1)
    place = ["-w", str(workspace.root)]
    assert main(["compare", "first", "second", *place]) == 0
    told = capsys.readouterr().out
    assert "difference" in told and "+20.0" in told and "as if of independent images" in " ".join(told.split())
    assert main(["compare", "first", "second", "--json", *place]) == 0
    found = json.loads(capsys.readouterr().out)["result_differences"]
    assert list(found) == ["clean_accuracy"] and found["clean_accuracy"]["value"] == pytest.approx(0.2)
    for names in (["first", "third"], ["first", "second", "third"]):
        assert main(["compare", *names, "--json", *place]) == 0
        assert json.loads(capsys.readouterr().out)["result_differences"] == {}, "not like with like, or more than two"
