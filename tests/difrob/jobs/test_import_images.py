"""Importing sets: several files as one, checks before any row, interruption, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs import import_images
from difrob.specs import DataSpec, ImportImagesSpec, TrainClassifierSpec

CPU = torch.device("cpu")


def part(path: Path, count: int, seed: int, side: int = 8, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % classes
    np.savez(path, image=images, label=labels)
    return images, labels


def imported(*paths: Path, recorder: MemoryRecorder | None = None, **changes: object) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder()
    import_images.run(ImportImagesSpec(paths=tuple(map(str, paths)), **changes), recorder, CPU)  # type: ignore[arg-type]
    return recorder


def test_parts_are_read_as_one_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_images, "ROWS", 30)
    first, second = part(tmp_path / "a.npz", 100, 0), part(tmp_path / "b.npz", 70, 1)
    recorder = imported(tmp_path / "a.npz", tmp_path / "b.npz")
    assert np.array_equal(recorder.column("images"), np.concatenate([first[0], second[0]]))
    assert np.array_equal(recorder.column("label"), np.concatenate([first[1], second[1]]))
    assert recorder.column("index").tolist() == list(range(170))
    assert recorder.results["images"].value == 170 and recorder.results["rarest_class"].value == 17
    assert recorder.attributes["num_classes"] == 10 and len(recorder.attributes["files"]) == 2
    assert recorder.progressed[-1] == (170, 170, "images") and recorder.pictures["imported"]
    short = imported(tmp_path / "a.npz", tmp_path / "b.npz", images=110)
    assert len(short.column("label")) == 110


def test_what_pictures_hold_is_noted_when_they_have_been_read(tmp_path: Path) -> None:
    noted = []
    for shift in (0, 1):
        for number in range(6):
            (place := tmp_path / "set" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
            image = np.full((8, 8), 10 * number + shift, np.uint8)
            Image.fromarray(image).save(place / f"{number}.png", compress_level=0)
        noted.append(imported(tmp_path / "set").attributes["files"][str(tmp_path / "set")]["(pictures of train)"])
    first, second = noted
    assert first != second and first.split("md5")[0] == second.split("md5")[0], "of equal size, but not the same"


@pytest.mark.parametrize("stop", [0, 2, 4])
def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(import_images, "ROWS", 30)
    images, _ = part(tmp_path / "a.npz", 140, 0)
    stopped = MemoryRecorder(stop_at_check=stop)
    with pytest.raises(Stopped):
        imported(tmp_path / "a.npz", recorder=stopped)
    resumed = imported(tmp_path / "a.npz", recorder=stopped.resume())
    assert np.array_equal(resumed.column("images"), images)


@pytest.mark.parametrize("change", ["image", "label", "fewer"])
def test_an_import_does_not_go_on_with_files_that_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(import_images, "ROWS", 30)
    images, labels = part(tmp_path / "a.npz", 140, 0)
    stopped = MemoryRecorder(stop_at_check=3)
    with pytest.raises(Stopped):
        imported(tmp_path / "a.npz", recorder=stopped)
    images, labels = images.copy(), labels.copy()
    if change == "image":
        images[75, 0, 0, 0] ^= 1
    elif change == "label":
        labels[[75, 76]] = labels[[76, 75]]
    else:
        images, labels = images[:60], labels[:60]
    np.savez(tmp_path / "a.npz", image=images, label=labels)
    resumed = stopped.resume()
    with pytest.raises(UserError, match="the files do not hold the 90 images that this import recorded before it was"):
        imported(tmp_path / "a.npz", recorder=resumed)
    assert len(resumed.column("label")) == 90 and not resumed.results


def test_what_does_not_fit_is_refused_before_any_row(tmp_path: Path) -> None:
    part(tmp_path / "a.npz", 40, 0)
    part(tmp_path / "wide.npz", 40, 0, side=9)
    part(tmp_path / "few.npz", 40, 0, classes=3)
    np.savez(tmp_path / "objects.npz", image=np.array([object()]), label=np.zeros(1, dtype=np.int64))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("wide", "import them as separate sets"), ("few", "classes"), ("objects", "objects.npz"), ("cut", "cut.npz"),
        ("gone", "there is no file"),
    ):  # fmt: skip
        recorder = MemoryRecorder()
        with pytest.raises(UserError, match=message):
            imported(tmp_path / "a.npz", tmp_path / f"{name}.npz", recorder=recorder)
        assert not recorder.columns() and not recorder.progressed
    with pytest.raises(UserError, match="has no split 'test'"):
        imported(tmp_path / "a.npz", split="test")


def test_a_classifier_trains_on_an_imported_set(tmp_path: Path) -> None:
    from difrob.jobs import train_classifier

    part(tmp_path / "a.npz", 200, 0)
    source = imported(tmp_path / "a.npz")
    spec = TrainClassifierSpec(
        data=DataSpec(train_size=60), generated="made", steps=2, batch_size=20, attack={"steps": 1}, validate_every=2,
        validation_attack_steps=1, network={"channels": (4, 8), "features": 16},
    )  # fmt: skip
    recorder = MemoryRecorder(runs={"made": source.as_input_run(ImportImagesSpec(paths=("x",)), "made")})
    train_classifier.run(spec, recorder, CPU)
    assert recorder.attributes["batches"]["generated_images"] == 200
