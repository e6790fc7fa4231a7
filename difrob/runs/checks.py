"""What a job may report, checked and copied: the job may reuse its arrays, and a mistake is raised where it was made.

Anything that passes here can be written into a journal and folded into an HDF5 file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from difrob.quantities import quantity_of
from difrob.runs.file_writer import plain_text
from difrob.runs.interface import Measure
from difrob.runs.journal import MAX_FRAME, REFERENCE

BATCH_BYTES = 64 << 20
MAX_IMAGES = 1024
MAX_NAME = 200
ROWS_AT_ONCE = 100_000

Layout = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


def checked_name(name: str) -> str:
    """The name itself. Raises ValueError for one that no file can hold."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"{name!r} is not a name: it needs 1 to {MAX_NAME} printable characters")
    if name == REFERENCE:
        raise ValueError(f"the name '{name}' is reserved")
    return name


def checked_json(value: Any) -> Any:
    """A copy of plain JSON data. Raises TypeError or ValueError for anything else."""
    text = json.dumps(value)
    if f'"{REFERENCE}":' in text:
        raise ValueError(f"the key '{REFERENCE}' is reserved")
    return json.loads(text)


def curve_record(name: str, step: int, columns: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """A curve for the journal. Raises ValueError unless the columns are 1-D and alike."""
    arrays = {key: None if values is None else np.array(values, np.float64) for key, values in columns.items()}
    shapes = {values.shape for values in arrays.values() if values is not None}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"curve '{name}' needs 1-D arrays of one length, got {shapes}")
    texts = {key: plain_text(str(label)) for key, label in labels.items()}
    return {"type": "curve", "name": checked_name(name), "step": int(step), **arrays, **texts}


def images_record(name: str, step: int, images: np.ndarray, captions: list[str] | None) -> dict[str, Any]:
    """A batch of pictures for the journal. Raises ValueError for what no picture is, or far too many."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) > MAX_IMAGES:
        raise ValueError(
            f"pictures '{name}' must be uint8 [N<={MAX_IMAGES},H,W,1 or 3], got {images.dtype} {images.shape}"
        )
    if images.nbytes > MAX_FRAME // 2:
        raise ValueError(f"pictures '{name}' take {images.nbytes} bytes; record fewer or smaller ones")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"pictures '{name}': {len(captions)} captions for {len(images)} images")
    texts = None if captions is None else [plain_text(str(caption)) for caption in captions]
    record = {"type": "images", "name": checked_name(name), "step": int(step), "captions": texts}
    return {**record, "images": np.array(images)}


def checked_samples(columns: dict[str, Any], known: Layout) -> dict[str, np.ndarray]:
    """Columns of per-sample results, none if they have no rows.

    Raises:
        ValueError: unless they are alike, and like the ``known`` ones (if any).
    """
    arrays = {checked_name(name): np.array(values) for name, values in columns.items()}
    arrays = {name: values.astype(values.dtype.newbyteorder("<"), copy=False) for name, values in arrays.items()}
    lengths = {values.shape[:1] for values in arrays.values()}
    if len(lengths) != 1 or () in lengths:
        raise ValueError(f"samples need columns of one length, got {lengths}")
    if lengths == {(0,)}:
        return {}
    layout = layout_of(arrays)
    for name, (dtype, shape) in layout.items():
        if dtype.kind not in "biuf" or 0 in shape or "/" in name or not name.strip("."):
            raise ValueError(f"samples '{name}' cannot be recorded: {dtype} {shape}")
    if known and layout != known:
        raise ValueError(f"samples changed their columns: {layout} after {known}")
    return arrays


def layout_of(columns: dict[str, np.ndarray]) -> Layout:
    """Type and shape of one row of each column."""
    return {name: (values.dtype, values.shape[1:]) for name, values in columns.items()}


def sample_records(columns: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Rows for the journal, in parts of moderate size."""
    rows = len(next(iter(columns.values())))
    size = sum(values.nbytes for values in columns.values())
    at_once = max(1, BATCH_BYTES * rows // max(1, size))
    for start in range(0, rows, at_once):
        part = {name: values[start : start + at_once] for name, values in columns.items()}
        yield {"type": "samples", "columns": part}


def checked_measure(measure: Measure) -> Measure:
    """A measure of plain numbers and texts."""
    return Measure(
        float(measure.value),
        low=None if measure.low is None else float(measure.low),
        high=None if measure.high is None else float(measure.high),
        n=None if measure.n is None else int(measure.n),
        interval=plain_text(str(measure.interval)),
        unit=plain_text(str(measure.unit)),
        description=plain_text(str(measure.description)),
        conditions=checked_json(dict(measure.conditions)),
        title=plain_text(str(measure.title)),
        better=plain_text(str(measure.better)),
    )


def as_declared(name: str, measure: Measure) -> Measure:
    """A result that says itself what it is: title, direction, and the unit where it states none."""
    quantity = quantity_of(name)
    unit = measure.unit or quantity.unit
    return replace(measure, unit=unit, title=quantity.title, better=quantity.better.value)


def first_batch(records: list[dict[str, Any]]) -> int:
    """How many records fit into one frame of moderate size; at least one."""
    size = 0
    for count, record in enumerate(records):
        for part in (record, record.get("columns", {})):
            size += sum(value.nbytes for value in part.values() if isinstance(value, np.ndarray))
        size += 100 * len(record.get("rows", ()))
        if count and size > BATCH_BYTES:
            return count
    return len(records)
