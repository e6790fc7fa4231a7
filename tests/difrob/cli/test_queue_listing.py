"""The queue in a terminal of 80 columns."""

from __future__ import annotations

import pytest

from difrob.cli.queue import console, print_queue
from difrob.runs import RunState
from difrob.worker.messages import Entry, LiveProgress, QueueState

REASON = "'generated' holds images of 16x16 pixels, the data set 'digits' has [8x8]; choose another set, or make one"


def listing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: object) -> list[str]:
    spec = {"kind": "train_classifier", "name": "first"}
    entries = [
        Entry(run_id="1-a", spec=spec, state=RunState.FAILED, reason=REASON),
        Entry(run_id="2-b", spec={**spec, "name": "second"}, state=RunState.RUNNING, on_lane="cpu"),
    ]
    monkeypatch.setattr(console, "width", 80)
    print_queue(QueueState(entries=entries, pid=1, **changes))
    lines = capsys.readouterr().out.splitlines()
    return lines[next(place for place, line in enumerate(lines) if line.split()[:2] == ["name", "kind"]) :]


def test_a_reason_has_the_whole_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = listing(monkeypatch, capsys)
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"], "one line for each entry"
    assert " ".join(" ".join(lines[3:]).split()) == f"1 failed: {REASON}" and len(lines) == 5


def test_columns_without_anything_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listing(monkeypatch, capsys)[0].split() == ["name", "kind", "state", "lane", "id"]
    lines = listing(
        monkeypatch,
        capsys,
        progress={"2-b": LiveProgress(run_id="2-b", done=5, total=9, unit="steps", seconds_left=60.0)},
    )
    assert lines[0].split() == ["name", "kind", "state", "progress", "left", "lane", "id"] and " 5/9 " in lines[2]
