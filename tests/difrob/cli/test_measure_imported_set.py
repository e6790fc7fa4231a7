"""A set from a file, imported and measured in a workspace, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.built_in_data import load_split

from difrob.cli import main
from difrob.runs import Workspace
from difrob.specs import DataSpec


def test_an_imported_set_is_measured(tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--device", "cpu", "--json", "-w", str(workspace.root)]
    fresh = load_split(DataSpec(), "validation")
    images = np.concatenate([fresh.images[:90], fresh.images[:10]])
    np.savez(tmp_path / "made.npz", image=images, label=np.concatenate([fresh.labels[:90], fresh.labels[:10]]))
    assert main(["run", "import_images", "-s", f"paths={tmp_path / 'made.npz'}", "-n", "made elsewhere", *place]) == 0
    capsys.readouterr()

    measure = ["run", "measure", "-s", "generated=made elsewhere", "-s", "kernel_subset=50", *place]
    assert main(measure) == 2
    told = capsys.readouterr().err
    assert "was imported" in told and "name their data set in 'dataset'" in told
    assert [summary.kind for summary in workspace.summaries()] == ["import_images"], "no run is left behind"
    assert main([*measure, "-s", "dataset=dgits"]) == 2 and "there is no data set 'dgits'" in capsys.readouterr().err
    assert main([*measure, "-s", "dataset=digits"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["state"] == "finished" and record["results"]["duplicate_share"]["value"] == 0.1
    counts = {"frechet_distance": 100, "kernel_distance": 2, "precision": 100, "coverage": 600, "memorised_share": 100}
    assert {name: record["results"][name]["n"] for name in counts} == counts
    reader = workspace.reader(record["run_id"])
    assert set(reader.attributes()["data_sets"]) == {"digits"} and reader.attributes()["images"]["training"] == 1000
    (parent,) = reader.summary().parents.values()
    assert workspace.reader(parent).summary().kind == "import_images"
