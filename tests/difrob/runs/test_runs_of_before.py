"""Real runs of the version in which conditions were prose and no record said what it was: all they say is still read.

The files were written by that version, from digits, with networks too small to learn much.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from difrob.comparison import result_rows, unlike_conditions
from difrob.quantities import declared_quantity, quantity_of
from difrob.runs import RunReader, RunSummary, Workspace
from difrob.runs.damage.file_parts import damage
from difrob.runs.recorder import RunRecorder
from difrob.specs import parse_spec

FILES = sorted((Path(__file__).resolve().parents[2] / "golden" / "before-quantities").glob("*.h5"))
NAMES = [path.stem.split("-")[1] for path in FILES]
RENAMED = {"generated": {"duplicate_share": "exact_copy_share"}}
DIGITS = {"name": "digits", "digest": "d15b1ecc2d01"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace", create=True)
    for path in FILES:
        shutil.copyfile(path, workspace.run_path(path.stem))
    return workspace


def reader_of(workspace: Workspace, name: str) -> RunReader:
    return workspace.reader(FILES[NAMES.index(name)].stem)


def summary_of(workspace: Workspace, name: str) -> RunSummary:
    return reader_of(workspace, name).summary()


def test_there_are_runs_of_five_kinds() -> None:
    assert NAMES == ["trades", "evaluation", "certificate", "generated", "measurement"]


@pytest.mark.parametrize("name", NAMES)
def test_all_results_are_there(workspace: Workspace, name: str) -> None:
    reader = reader_of(workspace, name)
    assert damage(reader.h5_path) == ""
    results = reader.summary().results
    with h5py.File(reader.h5_path) as file:
        stored = {str(group.attrs["name"]): dict(group.attrs) for group in file["summary"].values()}
        metrics = {str(group.attrs["name"]): len(group["value"]) for group in file["metrics"].values()}
        curves = {str(group.attrs["name"]) for group in file["curves"].values()}
    stored.pop("features_measured", None)  # it told how others were measured, and they tell it themselves now
    assert set(results) == {RENAMED.get(name, {}).get(each, each) for each in stored} and results
    for each, said in stored.items():
        measure = results[RENAMED.get(name, {}).get(each, each)]
        assert (measure.value, measure.n, measure.unit) == (said["value"], said.get("n"), said["unit"])
        assert (measure.low, measure.high, measure.interval) == (said.get("low"), said.get("high"), said["interval"])
        spoken = measure.sentence.replace(",", "").replace(";", "")
        for word in said["description"].replace(",", "").replace(";", "").split():
            assert word in spoken, f"{each}: '{word}' is lost in '{measure.sentence}'"
    assert {each: len(series.step) for each, series in reader.metrics().items()} == metrics
    assert set(reader.curves()) == curves
    for each in {*results, *metrics, *curves}:
        assert declared_quantity(each) is not None, each


def test_their_conditions_are_data_now(workspace: Workspace) -> None:
    robust = summary_of(workspace, "evaluation").results["robust_accuracy"]
    assert robust.conditions == {"data_set": DIGITS}
    assert summary_of(workspace, "certificate").results["abstentions"].conditions == {"data_set": DIGITS}
    frechet = summary_of(workspace, "measurement").results["frechet_distance"]
    assert frechet.conditions["generated"] == "30 images"
    assert frechet.conditions["reference"] == "600 test images of digits"
    features = summary_of(workspace, "trades").results["features_effective_rank"]
    assert features.conditions["fitted_to"] == "100 training images" and features.conditions["features"].startswith(
        "4 "
    )


def test_like_compares_with_like_and_unlike_is_named(workspace: Workspace) -> None:
    first = summary_of(workspace, "measurement")
    measure = replace(first.results["frechet_distance"], value=first.results["frechet_distance"].value / 2)
    better = replace(first, run_id="better", results={**first.results, "frechet_distance": measure})
    assert unlike_conditions([first, better]) == []
    rows = {row.name: row for row in result_rows([first, better])}
    assert rows["frechet_distance"].best == {"better"}
    fewer = {**measure.conditions, "generated": "20 images"}
    other = replace(better, results={"frechet_distance": replace(measure, conditions=fewer)})
    assert [item.title for item in unlike_conditions([first, other])] == ["generated"]


def test_a_file_that_is_written_again_says_what_its_numbers_are(workspace: Workspace) -> None:
    reader = reader_of(workspace, "trades")
    before = reader.summary()
    spec = parse_spec({**before.spec, "steps": 40})
    recorder = RunRecorder(workspace, reader.run_id, spec, resume=True)
    try:
        recorder.metric("validation/robust_accuracy", 40, 0.5)
    finally:
        recorder.close()
    assert set(reader.summary().results) == set(before.results)
    assert quantity_of("validation/robust_accuracy", reader.metrics()["validation/robust_accuracy"]).unit == "share"
