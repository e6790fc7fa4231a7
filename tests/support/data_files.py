"""Small data sets in the formats in which the real ones are published."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

from difrob.data.formats.detection import Request, read_source
from difrob.data.formats.source import Source


def some_images(count: int, shape: tuple[int, ...] = (8, 8, 1), num_classes: int = 10, seed: int = 0) -> Any:
    """Random images uint8 [count, *shape] and labels of which every class has some."""
    source = np.random.default_rng(seed)
    images = source.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, source.permutation(np.arange(count) % num_classes).astype(np.int64)


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, train: tuple[Any, Any], test: tuple[Any, Any], packed: bool = False) -> Path:
    """A folder like that of MNIST, of (images [N,H,W,1], labels) each."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, (images, labels) in (("train", train), ("t10k", test)):
        for name, array in ((f"{prefix}-images-idx3-ubyte", images[..., 0]), (f"{prefix}-labels-idx1-ubyte", labels)):
            data = idx_bytes(array)
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 1) if packed else data)
    return folder


def cifar_records(images: np.ndarray, *labels: np.ndarray) -> bytes:
    """Binary records: label bytes, then the planes of red, green and blue."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return (
        np.concatenate([*(np.asarray(column)[:, None] for column in labels), planes], axis=1).astype(np.uint8).tobytes()
    )


def python2_pickle(values: dict[str, Any]) -> bytes:
    """What Python 2 wrote for a dictionary of texts, lists of numbers or texts, and arrays of bytes (protocol 2)."""
    parts = [b"\x80\x02}("]
    for key, value in values.items():
        parts += [_python2(key), _python2(value)]
    return b"".join([*parts, b"u."])


def _python2(value: Any) -> bytes:
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(_python2(item) for item in value) + b"e"
    raw = value.tobytes()
    shape = b"".join(b"J" + struct.pack("<i", side) for side in value.shape)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return start + b"(K\x01(" + shape + b"t" + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def source_of(path: Path, scratch: Path, format_name: str = "auto", size: int | None = None) -> Source:
    """Read a path as ``difrob data add`` does."""
    scratch.mkdir(exist_ok=True)
    return read_source(Request(path, scratch, size, lambda done, total, what: None), format_name)


def images_of(source: Source, split: str) -> np.ndarray:
    """All images of a split, uint8 [N,H,W,C]."""
    return np.concatenate(list(source.splits[split].blocks()))
