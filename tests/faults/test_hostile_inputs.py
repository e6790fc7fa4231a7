"""Some hundreds of the hostile inputs that ``make faults`` reads by the thousand, and a disk that is really full."""

from __future__ import annotations

import json
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from faults import hostile_files, hostile_messages, hostile_texts
from faults.campaign import FUZZ_SHARES
from faults.full_disk import fill_disks, why_not
from faults.fuzzing import SORTS, fuzz
from faults.hostile_messages import fuzz_supervisor
from faults.references import SHORT_SPECS, make_references
from faults.report import Report

SAMPLE = {"file": 12, "journal": 25, "preset": 150, "npy": 60, "npz": 60, "safetensors": 40, "torch": 60}


def test_hostile_inputs_give_a_result_or_a_sentence(tmp_path: Path) -> None:
    assert SAMPLE.keys() == SORTS.keys() == FUZZ_SHARES.keys()
    report = Report()
    fuzz(tmp_path, SAMPLE, report, 5)
    assert not report.wrong, report.table()
    for sort, count in SAMPLE.items():
        assert report.tally(SORTS[sort]).injected == report.tally(SORTS[sort]).readable == count


def test_a_supervisor_lives_with_hostile_messages(tmp_path: Path) -> None:
    report = Report()
    fuzz_supervisor(tmp_path / "workspace", 200, report, 5)
    assert not report.wrong, report.table()
    assert report.tally(hostile_messages.MESSAGES).readable == 200


def test_inputs_depend_on_the_seed_alone() -> None:
    def inputs(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [hostile_messages.hostile_message(chance) for _ in range(50)] + [
            hostile_texts.hostile_preset({"kind": "x", "spec": {"a": [1]}}, chance) for _ in range(50)
        ]

    assert inputs(1) == inputs(1) != inputs(2)


def test_every_lie_can_be_told(tmp_path: Path) -> None:
    """A generator that HDF5 always refuses would test nothing."""
    told = {lie: 0 for lie in hostile_files.LIES}
    chance = random.Random(0)
    for _ in range(12):
        for lie in told:
            path = tmp_path / "file.h5"
            with h5py.File(path, "w") as file:
                file["group/inner/numbers"] = np.arange(10.0)
                file["group/attributes"] = json.dumps({"a": 1})
                file.attrs["summary"] = json.dumps({"state": "finished"})
                try:
                    lie(file, chance.choice(["group/inner/numbers", "group/attributes", "group/inner"]), chance)
                except (ValueError, KeyError, OSError, RuntimeError, TypeError):
                    continue
                told[lie] += 1
    assert all(told.values()), {lie.__name__: count for lie, count in told.items()}


@pytest.mark.slow
def test_a_run_on_a_full_disk_waits_for_room_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    if problem := why_not():
        pytest.skip(problem)
    report = Report()
    fill_disks(make_references(tmp_path / "references", SHORT_SPECS), SHORT_SPECS, tmp_path, 2, report, 1)
    if any("cannot be mounted" in note for note in report.notes):
        pytest.skip("; ".join(report.notes))
    assert not report.wrong, report.table()
    assert report.tally("disk full").resumed == 2
