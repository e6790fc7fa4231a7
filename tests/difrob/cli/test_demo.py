"""The demo: its pipeline as it is submitted, and (slowly) the whole of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from difrob.cli.demo import REPORTED, demo_pipeline
from difrob.runs import Workspace
from difrob.specs import input_runs
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore


def test_the_pipeline_is_accepted_and_each_run_waits_for_what_it_reads(workspace: Workspace) -> None:
    pipeline = demo_pipeline()
    store = QueueStore(workspace.database)
    try:
        queue = Queue(workspace, store, lambda event: None)
        assert queue.submit(pipeline.requests()) == pipeline.run_ids
        kinds = [entry.spec["kind"] for entry in queue.entries]
        assert kinds == ["train_denoiser", "generate", *["train_classifier"] * 2, *["evaluate"] * 2, *["certify"] * 2]
        for entry, (_, spec) in zip(queue.entries, pipeline.entries.values(), strict=True):
            assert entry.after == list(input_runs(spec).values())
        first = queue.next_start()
        assert first is not None and first[0].run_id == pipeline.entries["denoiser"][0]
    finally:
        store.close()


def test_the_two_arms_differ_in_the_generated_set_alone() -> None:
    entries = demo_pipeline().entries
    real, mixed = (entries[arm][1].model_dump(exclude={"name"}) for arm in ("real", "mixed"))
    assert real.pop("generated") is None and mixed.pop("generated") == entries["generated"][0]
    assert real == mixed and real["data"]["train_size"] == 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "difrob", "demo", "--headless", "--json", "--workspace", str(tmp_path / "demo")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=880)
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    for results in report["results"].values():
        assert set(results) == set(REPORTED)
        assert all(measure["low"] <= measure["value"] <= measure["high"] for measure in results.values())
        assert results["clean_accuracy"]["value"] > 0.85 and results["robust_accuracy"]["value"] > 0.4
    assert len(report["screenshots"]) == 2 and all(Path(path).stat().st_size > 10_000 for path in report["screenshots"])
    for path in (tmp_path / "demo" / "runs").glob("*.h5"):
        with h5py.File(path) as file:
            assert file.attrs["status"] == "finished"
