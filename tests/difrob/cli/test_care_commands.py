"""``difrob runs`` and what stands behind it: check, recover, gc, keep, rm, restore."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from difrob.cli import main
from difrob.runs import Workspace

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture
def kept(workspace: Workspace) -> Workspace:
    """A workspace with an ended run, a dead one, and one whose file was cut off."""
    shutil.copyfile(GOLDEN / "run-v2.h5", workspace.run_path("ended"))
    shutil.copyfile(GOLDEN / "run-v2.journal", workspace.journal_path("dead"))
    data = (GOLDEN / "run-v2.h5").read_bytes()
    workspace.run_path("cut").write_bytes(data[: len(data) * 3 // 4])
    return workspace


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_bare_form_still_lists(kept: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(kept.root)]
    code, listed = as_json(capsys, "runs", *place, "--kind", "train_denoiser", "--state", "interrupted")
    assert code == 0 and {Path(run["file"]).stem for run in listed} == {"ended", "dead"}
    assert main(["runs", *place, "--ids"]) == 0 and "ended" in capsys.readouterr().out


def test_check_recover_check(kept: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(kept.root)]
    code, findings = as_json(capsys, "runs", "check", *place)
    assert code == 1
    assert {f["file"]: f["verdict"] for f in findings} == {
        "cut.h5": "damaged", "dead.journal": "leftover", "ended.h5": "whole",
    }  # fmt: skip
    assert main(["runs", "check", "ended", *place]) == 0
    assert main(["runs", *place, "check", "cut"]) == 1
    assert "cut off at" in " ".join(capsys.readouterr().out.split())
    code, done = as_json(capsys, "runs", "recover", *place)
    assert code == 0 and done["recovered"].keys() == {"cut", "dead"} and done["left"] == {}
    code, done = as_json(capsys, "runs", "recover", *place)
    assert done == {"recovered": {}, "left": {}}
    assert main(["runs", "recover", *place]) == 0 and "nothing to recover" in capsys.readouterr().out
    code, findings = as_json(capsys, "runs", "check", *place)
    assert code == 0 and {f["verdict"] for f in findings} == {"whole", "leftover"}


def test_gc_shows_first_and_frees_with_yes(kept: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(kept.root)]
    main(["runs", "recover", *place])
    capsys.readouterr()
    _, shown = as_json(capsys, "runs", "gc", "--keep-last", "1", "--no-keep-best", *place)
    kinds = {(thing["kind"], thing["run_id"]) for thing in shown["spare"]}
    assert {("checkpoints", "ended"), ("damaged", "cut")} <= kinds and shown["freed"] == 0
    assert kept.run_path("cut").with_name("cut.h5.damaged").exists()
    _, freed = as_json(capsys, "runs", "gc", "--keep-last", "1", "--no-keep-best", "--yes", *place)
    assert freed["freed"] > 0 and freed["failures"] == [] and kept.reader("ended").checkpoint("best").step == 2
    assert main(["runs", "gc", "--older-than", "-1", *place]) == 2
    assert main(["runs", "gc", "--keep-last", "0", *place]) == 2
    assert "whole number from 1" in capsys.readouterr().err


def test_keep_shows_sets_and_mends(kept: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(kept.root)]
    assert as_json(capsys, "runs", "keep", *place) == (0, {"keep_last": 2, "keep_best": True})
    assert not (kept.root / "workspace.json").exists()
    assert as_json(capsys, "runs", "keep", "--last", "3", *place)[1] == {"keep_last": 3, "keep_best": True}
    assert as_json(capsys, "runs", "keep", "--no-best", *place)[1] == {"keep_last": 3, "keep_best": False}
    (kept.root / "workspace.json").write_text("nonsense")
    assert main(["runs", "keep", *place]) == 2
    assert "difrob runs keep --last 2 --best" in capsys.readouterr().err
    assert main(["runs", "keep", "--last", "2", "--best", *place]) == 0
    assert "the last 2 checkpoints and the best" in capsys.readouterr().out


def test_rm_and_restore(kept: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(kept.root)]
    assert main(["runs", "rm", "ended", *place]) == 0 and not kept.run_path("ended").exists()
    assert main(["runs", "restore", "end", *place]) == 0 and kept.run_path("ended").exists()
    assert main(["runs", "restore", "gone", *place]) == 2 and "in the bin" in capsys.readouterr().err
    assert main(["runs", "rm", "gone", *place]) == 2


@pytest.mark.parametrize("command", ["check", "recover", "gc", "keep", "rm", "restore"])
def test_help_is_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", command, "--help"]) == 0
    assert "--workspace" in capsys.readouterr().out
