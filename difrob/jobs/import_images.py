"""Labelled images from files, read block by block into a run; memory stays bounded whatever the size."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from difrob.data.formats.detection import Request, read_source
from difrob.data.formats.source import Source
from difrob.errors import UserError
from difrob.runs.interface import Measure, Recorder
from difrob.specs import ImportImagesSpec

ROWS = 4096
SHEET_IMAGES = 100
SHEET_PER_CLASS = 10


def run(spec: ImportImagesSpec, recorder: Recorder, device: torch.device) -> None:
    """Check all files, then copy their images and labels; an interrupted run goes on after the last row it kept.

    Raises:
        UserError: for a file that is missing, in no known format, does not fit the others, or was changed since an
            interrupted import began.
        Stopped: when asked to; whole blocks are kept.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sources = [_open(spec, path, Path(scratch) / str(number)) for number, path in enumerate(spec.paths)]
        check(sources, spec)
        for source in sources:
            for note in source.notes:
                recorder.note(note)
        labels = np.concatenate([source.splits[spec.split].labels for source in sources])[: spec.images]
        recorder.attribute("num_classes", len(sources[0].class_names))
        recorder.attribute("class_names", list(sources[0].class_names))
        recorder.attribute("files", _files(spec, sources))
        copy(spec, recorder, sources, labels)
        recorder.attribute("files", _files(spec, sources))  # the sums of pictures are known when they have been read
    report(recorder, labels, len(sources[0].class_names))


def check(sources: list[Source], spec: ImportImagesSpec) -> None:
    """Refuse files that are no one set.

    Raises:
        UserError: naming the file that differs, and in what.
    """
    first = sources[0]
    for path, source in zip(spec.paths, sources, strict=True):
        if spec.split not in source.splits:
            raise UserError(f"'{path}' has no split '{spec.split}'; it has {', '.join(source.splits)}")
        if source.image_shape != first.image_shape:
            raise UserError(
                f"'{path}' has images of {source.image_shape}, '{spec.paths[0]}' of {first.image_shape} (height, width, "
                "channels); import them as separate sets"
            )
        if source.class_names != first.class_names:
            raise UserError(
                f"'{path}' has {len(source.class_names)} classes, '{spec.paths[0]}' {len(first.class_names)}, or they are "
                "named differently; import them as separate sets"
            )


def copy(spec: ImportImagesSpec, recorder: Recorder, sources: list[Source], labels: np.ndarray) -> None:
    """Record the rows that are not there yet.

    Raises:
        UserError: when the rows that an interrupted run recorded are not those that the files hold now.
    """
    done, seen = recorder.recorded_samples, 0
    kept = recorder.recorded_column("images") if done else labels[:0]
    if done > len(labels) or (done and not np.array_equal(recorder.recorded_column("label"), labels[:done])):
        raise UserError(_other_files(done))
    recorder.progress(done, len(labels), "images")
    for block in _blocks(spec, sources):
        recorder.check_stop()
        before = kept[seen : seen + len(block)]
        if len(before) and not np.array_equal(before, block[: len(before)]):
            raise UserError(_other_files(done))
        rows = slice(max(done, seen), min(seen + len(block), len(labels)))
        if rows.start < rows.stop:
            images = block[rows.start - seen : rows.stop - seen]
            if seen == 0:
                show(recorder, images, labels[: len(images)])
            recorder.samples(images=images, label=labels[rows], index=np.arange(rows.start, rows.stop, dtype=np.int64))
            recorder.progress(rows.stop, len(labels), "images")
        seen += len(block)
        if seen >= len(labels):
            return
    raise UserError(f"the files hold {seen} images but {len(labels)} labels; they are damaged")


def _other_files(done: int) -> str:
    return (
        f"the files do not hold the {done:,} images that this import recorded before it was interrupted; put them back as "
        "they were, or start a new import"
    )


def show(recorder: Recorder, images: np.ndarray, labels: np.ndarray) -> None:
    """A contact sheet of the first images, one class after the other."""
    if images.shape[-1] not in (1, 3):
        return
    shown = np.concatenate([np.flatnonzero(labels == label)[:SHEET_PER_CLASS] for label in np.unique(labels)])
    shown = shown[:SHEET_IMAGES]
    recorder.images("imported", 0, images[shown], [str(label) for label in labels[shown]])


def report(recorder: Recorder, labels: np.ndarray, num_classes: int) -> None:
    """How many images there are, and of the rarest class."""
    counts = np.bincount(labels, minlength=num_classes)
    recorder.result("images", Measure(len(labels), n=len(labels), unit="images", description="images imported"))
    recorder.result(
        "rarest_class",
        Measure(int(counts.min()), n=len(labels), unit="images", description="images of the rarest class"),
    )
    recorder.attribute("images_per_class", counts.tolist())


def _open(spec: ImportImagesSpec, path: str, scratch: Path) -> Source:
    scratch.mkdir()
    request = Request(Path(path).expanduser(), scratch, None, lambda done, total, what: None)
    return read_source(request, spec.format)


def _blocks(spec: ImportImagesSpec, sources: list[Source]) -> Iterator[np.ndarray]:
    whole = itertools.chain.from_iterable(source.splits[spec.split].blocks() for source in sources)
    for block in whole:
        for start in range(0, len(block), ROWS):
            yield block[start : start + ROWS]


def _files(spec: ImportImagesSpec, sources: list[Source]) -> dict[str, dict[str, str]]:
    """{path: {file: size and sum}}."""
    return {
        path: {name: str(file) for name, file in source.files.items()}
        for path, source in zip(spec.paths, sources, strict=True)
    }
