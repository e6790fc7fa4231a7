"""Data sets in a workspace: taken over whole or not at all, split for ever, checked, removed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.built_in_data import load_split as load_built_in
from support.data_files import some_images, write_idx
from support.memory_recorder import MemoryRecorder

from difrob.data import load_split
from difrob.data.adding import add_data_set
from difrob.data.formats.idx import _images
from difrob.data.stored import check_stored, set_digest, stored_split
from difrob.data.toy_names import TOYS as TOY_MIXTURES
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.runs.datasets import BUILT_IN, DIGITS, RECORD_FILE, TOYS, DataSetRecord, DataSets, SplitRecord
from difrob.runs.recorder import RunRecorder
from difrob.runs.records import RunSummary
from difrob.runs.states import RunState
from difrob.specs import DataSpec, TrainDenoiserSpec

VALIDATION_ROWS = [17, 19, 20, 23, 25, 28, 44, 51, 58, 72, 75, 76]
DIGEST = "596dcad4dd262f38d1d45230f255dfb7"
TRAIN, TEST = some_images(120, (8, 8, 1)), some_images(40, (8, 8, 1), seed=1)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "Some Digits", TRAIN, TEST)


@pytest.fixture
def record(original: Path, workspace: Workspace) -> DataSetRecord:
    return add_data_set(workspace.datasets, original, name="small")


def test_what_is_stored_is_what_was_published(workspace: Workspace, record: DataSetRecord) -> None:
    parts = {name: load_split(workspace, DataSpec(dataset="small"), name) for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 108, "validation": 12, "test": 40}
    for name, (images, labels) in (("train", TRAIN), ("validation", TRAIN), ("test", TEST)):
        part = parts[name]
        assert np.array_equal(part.images, images[part.indices]) and np.array_equal(part.labels, labels[part.indices])
        assert isinstance(part.images, np.memmap) and (part.name, part.split, part.num_classes) == ("small", name, 10)
        assert not part.images.flags.writeable
    both = np.concatenate([parts["train"].indices, parts["validation"].indices])
    assert np.array_equal(np.sort(both), np.arange(120))
    assert np.bincount(parts["validation"].labels, minlength=10).min() >= 1
    assert record.validation == {"rule": "stratified, held out of train", "images": 12, "seed": 0}
    assert record.splits["train"].per_class == np.bincount(parts["train"].labels).tolist()
    assert record.source_files["train-images-idx3-ubyte"].bytes == 16 + 120 * 64


def test_the_record_survives_the_disk(workspace: Workspace, record: DataSetRecord) -> None:
    assert workspace.data_set("small") == record
    assert [known.name for known in workspace.data_sets()] == [*BUILT_IN, "small"]
    assert list(check_stored(record))[-1] == (160 * (64 + 16), 160 * (64 + 16))
    assert sorted(path.name for path in workspace.datasets.folder.iterdir()) == ["small"]


def test_the_split_and_the_digest_are_the_same_for_ever(tmp_path: Path, workspace: Workspace) -> None:
    images = (np.arange(120 * 64) % 251).astype(np.uint8).reshape(120, 8, 8, 1)
    folder = write_idx(tmp_path / "set", (images, np.arange(120) * 7 % 10), (images[:20], np.arange(20) % 10))
    record = add_data_set(workspace.datasets, folder)
    assert stored_split(record, "validation").indices.tolist() == VALIDATION_ROWS
    assert record.digest == DIGEST


def test_the_real_cifar_subset(shared_data: Path, workspace: Workspace) -> None:
    record = add_data_set(workspace.datasets, shared_data / "cifar10")
    assert (record.name, record.image_shape, record.flips) == ("cifar10", (3, 32, 32), True)
    raw = np.fromfile(shared_data / "cifar10" / "data_batch_1_first4000.bin", np.uint8).reshape(-1, 3073)
    for split, count in (("train", 3600), ("validation", 400)):
        part = load_split(workspace, DataSpec(dataset="cifar10"), split)
        assert len(part) == count and np.array_equal(part.labels, raw[part.indices, 0])
        planes = part.images.transpose(0, 3, 1, 2).reshape(count, -1)
        assert np.array_equal(planes, raw[part.indices, 1:])


def test_digits_are_described_by_their_record() -> None:
    splits = {name: load_built_in(DataSpec(), name) for name in ("train", "validation", "test")}
    described = {}
    for name, part in splits.items():
        digests = {key: digest_of(getattr(part, key)) for key in ("images", "labels", "indices")}
        described[name] = SplitRecord(np.bincount(part.labels).tolist(), digests)
        assert DIGITS.splits[name].per_class == described[name].per_class
        assert part.shape == DIGITS.image_shape
    assert set_digest(described) == DIGITS.digest


def test_toys_are_described_by_their_records() -> None:
    assert [record.name for record in TOYS] == list(TOY_MIXTURES)
    for record in TOYS:
        mixture = TOY_MIXTURES[record.name]()
        assert (record.image_shape, record.num_classes) == (mixture.image_shape, mixture.num_classes)
        with pytest.raises(UserError, match="are points, of which only diffusion models learn"):
            load_built_in(DataSpec(dataset=record.name), "train")


def digest_of(array: np.ndarray) -> str:
    import hashlib

    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()


@pytest.mark.parametrize(("asked", "held_out"), [(None, 12), (0, 0), (1, 1), (30, 30)])
def test_how_many_are_held_out(original: Path, workspace: Workspace, asked: int | None, held_out: int) -> None:
    record = add_data_set(workspace.datasets, original, name="x", validation=asked)
    assert record.splits["train"].images == 120 - held_out
    if held_out:
        assert record.splits["validation"].images == held_out
    else:
        with pytest.raises(UserError, match="'x' has no split 'validation'; it has: train, test"):
            stored_split(record, "validation")


def test_chosen_classes_get_their_own_labels(original: Path, workspace: Workspace) -> None:
    record = add_data_set(workspace.datasets, original, name="x", classes=["7", "1"], validation=0)
    train = stored_split(record, "train")
    rows = np.flatnonzero((TRAIN[1] == 7) | (TRAIN[1] == 1))
    assert np.array_equal(train.images, TRAIN[0][rows])
    assert np.array_equal(train.labels, (TRAIN[1][rows] == 1).astype(int))
    assert record.class_names == ["7", "1"] and "2 of 10 classes" in record.notes
    for classes, words in ((["7", "x"], "no class 'x'"), (["7"], "two or more"), (["7", "7"], "two or more")):
        with pytest.raises(UserError, match=words):
            add_data_set(workspace.datasets, original, name="y", classes=classes)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2, 4] * 20, "images of: 3; .*add it again with --classes 0,1,2,4, which leaves them out"),
        ([2] * 40, "images of: 0, 1; .*add it again when its files hold images of every class"),
        ([0, 30] * 20, r"images of: 1, .*19, 20, ... \(29 classes in all\); .*--classes 0,30,"),
    ],
)
def test_a_class_without_training_images_is_warned_of(
    tmp_path: Path, workspace: Workspace, labels: list[int], words: str
) -> None:
    np.savez(tmp_path / "set.npz", image=some_images(len(labels))[0], label=np.array(labels))
    (note,) = add_data_set(workspace.datasets, tmp_path / "set.npz", name="x", validation=0).notes
    assert note.startswith("warning: no training images of: ") and re.search(words, note)
    assert "no model that learns from this set can learn them" in note and "'difrob data rm x'" in note


def test_the_mend_of_an_empty_class_mends_it(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, image=some_images(8)[0], label=np.array([0, 1, 2, 4] * 2))
    assert "--classes 0,1,2,4," in add_data_set(workspace.datasets, path, name="x", validation=0).notes[0]
    chosen = add_data_set(workspace.datasets, path, name="y", validation=0, classes=["0", "1", "2", "4"])
    assert chosen.notes == ["4 of 5 classes"]
    np.savez(path, image=some_images(8)[0], label=np.arange(8))
    held_out = add_data_set(workspace.datasets, path, name="z", validation=3)
    assert "add it again with more images of these classes" in held_out.notes[0]
    assert not add_data_set(workspace.datasets, path, name="whole", validation=0).notes


def test_a_changed_picture_of_equal_size_makes_another_set(tmp_path: Path, workspace: Workspace) -> None:
    pixels = some_images(8, (8, 8, 3), 2)[0]
    for number, image in enumerate(pixels):
        (tmp_path / "set" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", compress_level=0)
    before = add_data_set(workspace.datasets, tmp_path / "set", name="x")
    Image.fromarray(255 - pixels[0]).save(tmp_path / "set" / "a" / "0.png", compress_level=0)
    after = add_data_set(workspace.datasets, tmp_path / "set", name="y")
    assert before.digest != after.digest
    (old,), (new,) = before.source_files.values(), after.source_files.values()
    assert old.bytes == new.bytes and old.md5 != new.md5
    assert workspace.data_set("x").source_files == before.source_files == {"(pictures of train)": old}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "small"}, "a data set 'small' already; .*difrob data rm small"),
        ({"name": "digits"}, "'digits' is built in"),
        ({"name": "../x"}, "cannot name a data set"),
        ({"name": "x" * 65}, "cannot name a data set"),
        ({"name": "y", "validation": 120}, "120 cannot be held out of 120"),
        ({"name": "y", "size": 4}, "--size is for folders"),
    ],
)
def test_bad_requests_leave_nothing_behind(
    original: Path, workspace: Workspace, record: DataSetRecord, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        add_data_set(workspace.datasets, original, **options)
    assert [path.name for path in workspace.datasets.folder.iterdir()] == ["small"]


def test_an_unnamed_set_is_called_after_its_folder(original: Path, workspace: Workspace) -> None:
    assert add_data_set(workspace.datasets, original).name == "some-digits"


def test_what_breaks_in_the_middle_is_never_seen(
    original: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path, shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
        yield next(_images(path, shape))[:7]
        raise KeyboardInterrupt

    monkeypatch.setattr("difrob.data.formats.idx._images", torn)
    with pytest.raises(KeyboardInterrupt):
        add_data_set(workspace.datasets, original, name="x")
    assert list(workspace.datasets.folder.iterdir()) == [] and [r.name for r in workspace.data_sets()] == list(BUILT_IN)


def test_leftovers_of_a_killed_process_are_removed_and_never_listed(original: Path, workspace: Workspace) -> None:
    left = workspace.datasets.folder / ".adding-0badcafe"
    left.mkdir(parents=True)
    (left / "train-images.npy").write_bytes(b"half")
    assert [known.name for known in workspace.data_sets()] == list(BUILT_IN) and not workspace.datasets.damaged()
    add_data_set(workspace.datasets, original, name="x")
    assert [path.name for path in workspace.datasets.folder.iterdir()] == ["x"]


def test_one_at_a_time(original: Path, workspace: Workspace) -> None:
    with workspace.datasets.adding(), pytest.raises(UserError, match="another 'difrob data add' is at work"):
        add_data_set(workspace.datasets, original, name="x")
    assert add_data_set(workspace.datasets, original, name="x").name == "x"


def test_a_full_disk_is_told_before_anything_is_written(
    original: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("difrob.data.adding.shutil.disk_usage", lambda folder: Usage)
    with pytest.raises(UserError, match="takes 0.02 GB in the workspace, 0.00 GB are free"):
        add_data_set(workspace.datasets, original, name="x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "test-images.npy").unlink(), "test-images.npy is missing"),
        (lambda folder: (folder / "test-images.npy").write_bytes(b""), "test-images.npy"),
        (lambda folder: cut(folder / "test-images.npy", 100), "test-images.npy"),
        (lambda folder: np.save(folder / "test-images.npy", TRAIN[0]), r"uint8 \[120, 8, 8, 1\] instead of \[40, 8"),
        (lambda folder: np.save(folder / "test-labels.npy", TEST[1].astype(np.int32)), "holds int32"),
        (lambda folder: np.save(folder / "test-labels.npy", TEST[1] + 1), r"labels 1\.\.10"),
        (lambda folder: np.save(folder / "test-labels.npy", np.array([{}] * 40)), "test-labels.npy"),
    ],
)
def test_damaged_arrays_are_refused(record: DataSetRecord, change: Any, words: str) -> None:
    assert record.folder is not None
    change(record.folder)
    with pytest.raises(UserError, match=f"'small' is damaged .*{words}.*difrob data rm small"):
        stored_split(record, "test")


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def test_a_changed_pixel_is_found_by_the_check(record: DataSetRecord) -> None:
    assert record.folder is not None
    path = record.folder / "train-images.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    stored_split(record, "train")
    with pytest.raises(UserError, match=r"train-images.npy is not as it was written"):
        list(check_stored(record))
    with pytest.raises(UserError, match="digest of the whole"):
        list(check_stored(replace(record, digest="0" * 32, splits={"test": record.splits["test"]})))


@settings(max_examples=60, deadline=None)
@given(data=st.one_of(st.binary(max_size=60), st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.floats(), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "version", "splits", "image_shape", "x"]), inner, max_size=4),
    max_leaves=8).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_record_brings_the_list_down(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    data_sets = DataSets(tmp_path_factory.mktemp("root") / "datasets")
    (data_sets.folder / "x").mkdir(parents=True)
    (data_sets.folder / "x" / RECORD_FILE).write_bytes(data)
    assert [known.name for known in data_sets.all()] == list(BUILT_IN)
    assert list(data_sets.damaged()) == ["x"]
    with pytest.raises(UserError, match="'x'"):
        data_sets.get("x")


def test_records_of_a_newer_difrob_and_renamed_folders(record: DataSetRecord, workspace: Workspace) -> None:
    assert record.folder is not None
    record.folder.rename(record.folder.with_name("other"))
    with pytest.raises(UserError, match="'small' was renamed to 'other'"):
        workspace.data_set("other")
    path = workspace.datasets.folder / "other" / RECORD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(UserError, match="newer difrob"):
        workspace.data_set("other")


def test_unknown_names_are_told_with_the_known_ones(workspace: Workspace, record: DataSetRecord) -> None:
    for name in ("x", "../runs", "."):
        with pytest.raises(
            UserError, match="there is no data set .*'difrob data add' registers one; known: digits, .*small"
        ):
            workspace.data_set(name)


def test_a_run_notes_what_it_reads_and_goes_on_with_nothing_else(
    original: Path, workspace: Workspace, record: DataSetRecord
) -> None:
    spec = TrainDenoiserSpec(data=DataSpec(dataset="small"))
    recorder = RunRecorder(workspace, "run", spec)
    assert len(load_split(recorder, spec.data, "train")) == 108
    with pytest.raises(UserError, match="needed by 1 live or waiting run"):
        workspace.remove_data_set("small")
    recorder.finish(RunState.INTERRUPTED)
    noted = workspace.reader("run").attributes()["data_sets"]
    assert noted == {"small": {"name": "small", "title": record.title, "digest": record.digest}}

    binned = workspace.remove_data_set("small")
    assert (binned / RECORD_FILE).is_file() and binned.parent.parent == workspace.bin_folder
    add_data_set(workspace.datasets, original, name="small", validation=5)
    again = RunRecorder(workspace, "run", spec, resume=True)
    try:
        with pytest.raises(UserError, match="'small' is not the one that this run began with"):
            load_split(again, spec.data, "train")
    finally:
        again.finish(RunState.FAILED)


def test_a_set_is_in_use_while_runs_built_on_its_runs_are_live(workspace: Workspace, record: DataSetRecord) -> None:
    from difrob.runs.workspace import data_set_users
    from difrob.specs import GenerateSpec

    recorder = RunRecorder(workspace, "denoiser", TrainDenoiserSpec(data=DataSpec(dataset="small")))
    recorder.finish(RunState.FINISHED)
    assert data_set_users("small", workspace.summaries()) == []
    generating = RunRecorder(workspace, "generated", GenerateSpec(denoiser="denoiser"))
    assert data_set_users("small", workspace.summaries()) == ["generated"]
    assert data_set_users("digits", workspace.summaries()) == []
    waiting = [GenerateSpec(denoiser="denoiser", name="later"), TrainDenoiserSpec()]
    assert data_set_users("small", workspace.summaries(), waiting) == ["generated", "later"]
    generating.finish(RunState.FINISHED)
    assert data_set_users("small", workspace.summaries()) == []


def test_users_are_found_through_long_chains_and_where_many_ways_lead_to_one_run() -> None:
    from difrob.runs.workspace import data_set_users

    def run(run_id: str, *parents: str, state: RunState = RunState.FINISHED) -> RunSummary:
        kind = "generate" if parents else "train_denoiser"
        spec = {"kind": kind, "data": {} if parents else {"dataset": "small"}}
        named = {f"input {number}": parent for number, parent in enumerate(parents)}
        return RunSummary(run_id, kind, run_id, state, spec=spec, parents=named)

    chain = [run(f"c{n}", *([f"c{n - 1}"] if n else [])) for n in range(3000)]
    lattice = [run(f"{side}{n}", *([f"a{n - 1}", f"b{n - 1}"] if n else [])) for n in range(80) for side in "ab"]
    ends = [run("end", "c2999", state=RunState.RUNNING), run("top", "a79", "b79", state=RunState.RUNNING)]
    assert data_set_users("small", [*ends, *lattice, *chain]) == ["end", "top"]
    assert data_set_users("digits", [*ends, *lattice, *chain]) == []


def test_specifications_are_held_against_what_there_is(workspace: Workspace, record: DataSetRecord) -> None:
    for values in ({}, {"data": {"dataset": "small"}}, {"data": {"dataset": "toy-ring"}}):
        workspace.require_data_of(TrainDenoiserSpec.model_validate(values))
    for field in ({"data": {"dataset": "x"}}, {"corruption": {"kind": "outliers", "outliers": "x"}}):
        with pytest.raises(UserError, match="no data set 'x'"):
            workspace.require_data_of(TrainDenoiserSpec.model_validate(field))


def test_removing_what_cannot_be_removed(workspace: Workspace, record: DataSetRecord) -> None:
    with pytest.raises(UserError, match="'digits' is built in"):
        workspace.remove_data_set("digits")
    with pytest.raises(UserError, match="no data set 'gone'"):
        workspace.remove_data_set("gone")
    (workspace.datasets.folder / "small" / RECORD_FILE).unlink()
    assert "has no dataset.json" in workspace.datasets.damaged()["small"]
    workspace.remove_data_set("small")
    assert not workspace.datasets.damaged()


def test_subsets_are_taken_of_registered_sets_too(record: DataSetRecord) -> None:
    recorder = MemoryRecorder(data_sets={"small": record})
    subset = load_split(recorder, DataSpec(dataset="small", train_size=20), "train")
    assert np.bincount(subset.labels).tolist() == [2] * 10
    assert recorder.attributes["data_sets"]["small"]["digest"] == record.digest


def test_names_in_specifications() -> None:
    assert DataSpec(dataset="cifar10-c_2.1").dataset == "cifar10-c_2.1"
    for name in ("", "a/b", "..", "x" * 65, "a b"):
        with pytest.raises(ValueError, match=r"dataset"):
            DataSpec(dataset=name)
