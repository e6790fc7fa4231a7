"""What ``difrob run`` tells while it runs, where no terminal shows a bar."""

from __future__ import annotations

import pytest

from difrob.cli import main, progress
from difrob.cli.progress import BarReport, JsonReport, LineReport, make_report, progress_line
from difrob.runs import Workspace
from difrob.runs.records import Progress, SignOfLife


def test_a_line_says_how_far_how_long_and_the_newest_numbers() -> None:
    sign = SignOfLife(Progress(120, 600, "steps", 40.0), {"loss": 0.31234, "a": 1.0, "b": 2.0, "c": 3.0})
    assert progress_line("a-run", sign) == "a-run: 120/600 steps, 40 s left, loss 0.3123  a 1  b 2"
    assert progress_line("r", SignOfLife(Progress(0, 0, ""), {}, waiting="for the disk")) == "r: 0, for the disk"


def test_the_report_suits_where_the_output_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_report("r", as_json=True), JsonReport)
    assert isinstance(make_report("r", as_json=False), LineReport), "the tests' output is no terminal"
    monkeypatch.setattr("difrob.cli.common.console._force_terminal", True)
    assert isinstance(make_report("r", as_json=False), BarReport)


def test_a_line_comes_every_ten_seconds_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with LineReport("r") as report:
        for second in range(1, 36):
            clock[0] = 100.0 + second
            report.progress(SignOfLife(Progress(second, 40, "steps"), {}))
    out, told = capsys.readouterr()
    assert out == "" and told.splitlines() == [f"r: {done}/40 steps" for done in (10, 20, 30)]


def test_a_piped_run_tells_how_it_gets_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    small = ["steps=1000", "batch_size=16", "sample_every=0", "network.width=32", "network.blocks=1"]
    fields = [word for field in small for word in ("--set", field)]
    assert main(["run", "train_denoiser", *fields, "-w", str(workspace.root)]) == 0
    out, told = capsys.readouterr()
    run_id = workspace.summaries()[0].run_id
    lines = [line for line in told.splitlines() if line.startswith(f"{run_id}: ")]
    assert any("/1000 steps" in line for line in lines) and f"{run_id}: " not in out
