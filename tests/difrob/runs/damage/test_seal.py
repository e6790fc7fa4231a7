"""The seal behind run files: it holds for what difrob wrote, and for nothing else."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recorded_runs import WEIGHTS, record_everything, recording

from difrob.runs import RunState, Workspace
from difrob.runs.damage import seal
from difrob.runs.unfailing_file import UnfailingFile


def sealed(path: Path, data: bytes, left_out: list[tuple[int, int]]) -> Path:
    path.write_bytes(data + seal.seal_of(io.BytesIO(data), len(data), left_out))
    return path


def ended_run(workspace: Workspace) -> Path:
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.checkpoint(1, WEIGHTS, {"step": 1})
        recorder.finish(RunState.FINISHED)
    return workspace.run_path("run")


def test_every_file_that_a_recorder_leaves_is_sealed_and_hdf5_reads_it_all_the_same(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        assert seal.holds(workspace.run_path("run"))
        record_everything(recorder)
        recorder.checkpoint(1, WEIGHTS, {})
        assert seal.holds(workspace.run_path("run"))
        recorder.finish(RunState.FINISHED)
    path = workspace.run_path("run")
    assert seal.holds(path) and path.read_bytes().endswith(seal.MAGIC)
    with h5py.File(path) as file:
        assert bytes(file["checkpoints/000000000001/weights"][...]) == WEIGHTS


def test_no_byte_can_be_changed_cut_off_or_added(workspace: Workspace) -> None:
    path = ended_run(workspace)
    data = path.read_bytes()
    chance = np.random.default_rng(0)
    for place in {0, len(data) - 1, *chance.integers(len(data), size=200).tolist()}:
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(chance.integers(8)))]) + data[place + 1 :])
        assert not seal.holds(path), place
    for changed in (data[:-1], data + b"x", data[: len(data) // 2], b"", b"x" * 10, data[1:], data + data):
        path.write_bytes(changed)
        assert not seal.holds(path)
    path.write_bytes(data)
    assert seal.holds(path)


def test_another_program_that_changes_the_file_breaks_the_seal(workspace: Workspace) -> None:
    path = ended_run(workspace)
    with h5py.File(path, "r+") as file:
        file["metrics/loss/value"][0] = 7.0
    assert not seal.holds(path)
    with h5py.File(path) as file:
        assert file["metrics/loss/value"][0] == 7.0


def test_large_numbers_are_left_out_and_large_texts_are_not(tmp_path: Path) -> None:
    path, large = tmp_path / "file.h5", 3 << 20
    with UnfailingFile(path) as disk:
        with h5py.File(disk, "w") as file:
            file["numbers"] = np.ones(large, np.uint8)
            file["text"] = "x" * large
            places = file["numbers"].id.get_offset()
        disk.put_seal()
        disk.make_durable()
    data = path.read_bytes()
    assert len(data) > 2 * large and data[places : places + large] == b"\x01" * large
    for place, holds in ((places + large // 2, True), (data.index(b"x" * 1000) + large // 2, False)):
        path.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
        assert seal.holds(path) is holds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    left_out=st.lists(st.tuples(st.integers(0, 320), st.integers(0, 320)), max_size=5),
    place=st.integers(0, 299),
)
def test_exactly_the_bytes_outside_the_stretches_count(
    tmp_path: Path, data: bytes, left_out: list[tuple[int, int]], place: int
) -> None:
    path = sealed(tmp_path / "file", data, left_out)
    assert seal.holds(path)
    if place < len(data):
        whole = path.read_bytes()
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        assert seal.holds(path) is any(first <= place < end for first, end in left_out)


def test_a_file_with_too_much_to_sum_up_gets_no_seal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(seal, "MOST_BYTES", 100)
    assert seal.seal_of(io.BytesIO(bytes(101)), 101, []) == b""
    assert seal.holds(sealed(tmp_path / "file", bytes(101), [(50, 60)]))


@pytest.mark.parametrize("size", [0, 9, 11, 10_000, 1 << 60])
def test_a_seal_that_lies_about_the_length_does_not_hold(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    for covered in ([(0, size)], []):
        body = struct.pack("<QI", size, 0) + b"".join(struct.pack("<QQ", *stretch) for stretch in covered)
        path.write_bytes(bytes(10) + body + struct.pack("<II8s", zlib.crc32(body), len(body), seal.MAGIC))
        assert not seal.holds(path)
