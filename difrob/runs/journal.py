"""The journal: what a live run has said so far, append-only, safe against being killed at any moment.

File: the magic, then frames. Frame: payload length and CRC-32 (little-endian u32 each), then the payload: sequence number
(u64), length of the JSON part (u32), the JSON list of records, and the bytes of their arrays. A batch of records is one
frame and one ``write``. No two frames of a run have the same sequence number, so a reader can tell what it has seen and a
fold can tell what it has already folded. Frame 0 is the header and survives :meth:`JournalWriter.clear`; so do the newest
frames, for those who follow the run and have not seen them yet. The header names the schema version of the records
(none: 1); the magic stands for the framing alone.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.runs.locks import open_locked, remove_locked
from difrob.runs.schema import SCHEMA_VERSION, check_version

MAGIC = b"DIFROBJ1"
MAX_FRAME = 1 << 30
MAX_SEQUENCE = 1 << 53  # never reached, and every program that reads the file can count so far
LOCK_SECONDS = 2.0
KEPT_BYTES = 256 << 10
FRAME = struct.Struct("<II")
PAYLOAD = struct.Struct("<QI")
_ARRAY_KINDS = "biuf"  # booleans, integers, floats: nothing that needs an interpreter
_ARRAY_TYPE = re.compile(r"\|[biu]1|<[iu][248]|<f(2|4|8|16)")
_MAX_DIMENSIONS = 32
REFERENCE = "__array__"
MALFORMED = (ValueError, KeyError, TypeError, RecursionError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Frame:
    """One batch of records. Arrays inside records are numpy views of the frame's bytes."""

    sequence: int
    records: list[dict[str, Any]] = field(default_factory=list)


class ArrayPacker:
    """Collects the arrays of one frame; a record refers to an array by place, shape and type."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, array: np.ndarray) -> dict[str, Any]:
        """Take an array and return the reference to put into the record."""
        array = np.asarray(array, order="C")
        if array.dtype.kind not in _ARRAY_KINDS:
            raise TypeError(f"arrays of type {array.dtype} cannot be recorded; use numbers")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        reference = {"at": self.size, "shape": list(array.shape), "dtype": array.dtype.str}
        self.parts.append(array.tobytes())
        self.size += array.nbytes
        return {REFERENCE: reference}


def encode_frame(sequence: int, records: list[dict[str, Any]]) -> bytes:
    """The bytes of one frame; numpy arrays anywhere in the records are packed behind the JSON part.

    Raises:
        TypeError: for a value that is neither JSON data nor an array of numbers.
        ValueError: for a frame that is too large, or a record that uses the key by which arrays are referred to.
    """
    packer = ArrayPacker()
    header = json.dumps(records, separators=(",", ":"), default=lambda value: _pack_value(value, packer)).encode()
    if header.count(f'"{REFERENCE}":'.encode()) != len(packer.parts):
        raise ValueError(f"the key '{REFERENCE}' is reserved and cannot be recorded")
    payload = b"".join([PAYLOAD.pack(sequence, len(header)), header, *packer.parts])
    if len(payload) > MAX_FRAME:
        raise ValueError(f"a frame of {len(payload)} bytes is larger than {MAX_FRAME}; record smaller batches")
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _pack_value(value: Any, packer: ArrayPacker) -> Any:
    if isinstance(value, np.ndarray):
        return packer.add(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def decode_payload(payload: bytes) -> Frame:
    """The frame in a payload whose checksum has been verified.

    Raises:
        ValueError: when the inside of the payload contradicts itself.
    """
    if len(payload) < PAYLOAD.size:
        raise ValueError("frame is too short")
    sequence, length = PAYLOAD.unpack_from(payload)
    if sequence > MAX_SEQUENCE:
        raise ValueError(f"no run has a frame {sequence}")
    arrays_at = PAYLOAD.size + length
    if arrays_at > len(payload):
        raise ValueError("frame is shorter than its JSON part")
    arrays = memoryview(payload)[arrays_at:]

    def revive(value: dict[str, Any]) -> Any:
        return _array(arrays, value[REFERENCE]) if REFERENCE in value else value

    records = json.loads(payload[PAYLOAD.size : arrays_at], object_hook=revive)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("frame holds no list of records")
    return Frame(sequence, records)


def _array(buffer: memoryview, reference: dict[str, Any]) -> np.ndarray:
    name, shape, start = reference["dtype"], reference["shape"], reference["at"]
    if not isinstance(name, str) or not _ARRAY_TYPE.fullmatch(name) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("array reference is malformed")
    if not all(type(n) is int and 0 <= n <= MAX_FRAME for n in [*shape, start]):
        raise ValueError("array reference is malformed")
    dtype = np.dtype(name)
    size = prod(shape) * dtype.itemsize
    if start + size > len(buffer):
        raise ValueError("array lies outside its frame")
    return np.frombuffer(buffer[start : start + size], dtype=dtype).reshape(shape)


@dataclass(frozen=True)
class Scan:
    """What a look into a journal found: whole frames, where the next one will begin, and whether garbage follows."""

    frames: list[Frame]
    offset: int
    torn: bool

    @property
    def header(self) -> dict[str, Any] | None:
        """What the writer wrote first of all; None when the scan did not begin at the start, or found nothing whole."""
        first = self.frames[0] if self.frames and self.frames[0].sequence == 0 else None
        return first.records[0] if first is not None and first.records else None


def scan_journal(path: Path, offset: int = 0) -> Scan:
    """Read all whole frames from ``offset`` on (0: from the start, magic included).

    ``torn`` means that bytes follow which are no whole frame: a frame being written, or a torn tail.

    Raises:
        UserError: when the file does not begin with the magic.
        Newer: when a newer difrob wrote it.
        FileNotFoundError: when there is no such file.
    """
    scan = _scan(path, offset)
    if offset == 0 and scan.header is not None:
        try:
            check_version(scan.header.get("schema_version", 1), path.name)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"'{path}' does not say its schema version; it is damaged") from None
    return scan


def _scan(path: Path, offset: int) -> Scan:
    frames: list[Frame] = []
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if offset == 0:
            magic = file.read(len(MAGIC))
            if len(magic) < len(MAGIC) and MAGIC.startswith(magic):
                return Scan(frames, 0, torn=True)  # its writer has just begun, or died there
            if magic != MAGIC:
                raise UserError(f"'{path}' is not a difrob journal")
            offset = len(MAGIC)
        file.seek(offset)
        while size - offset >= FRAME.size:
            head = file.read(FRAME.size)
            if len(head) < FRAME.size:  # the writer has shortened the journal since its size was asked
                break
            length, checksum = FRAME.unpack(head)
            if length > MAX_FRAME or length > size - offset - FRAME.size:
                break
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                break
            try:
                frames.append(decode_payload(payload))
            except MALFORMED:
                break
            offset += FRAME.size + length
    return Scan(frames, offset, torn=offset < size)


class JournalWriter:
    """Appends frames to a journal and holds its lock while it lives. Not thread-safe; the recorder has its own lock."""

    def __init__(self, path: Path, header: dict[str, Any], sequence: int = 0) -> None:
        """Create the journal. ``sequence`` is the highest number ever used in this run (0 for a new run).

        Raises:
            UserError: when another process is writing this run, or the folder cannot be written.
        """
        self.path = path
        self.sequence = sequence
        self._newest: deque[bytes] = deque()  # the last frames, up to KEPT_BYTES of them
        self._newest_size = 0
        try:
            descriptor = open_locked(path, os.O_RDWR | os.O_CREAT, LOCK_SECONDS)
        except OSError as error:
            raise UserError(f"cannot write '{path}': {error.strerror}; choose a workspace you can write to") from None
        if descriptor is None:
            raise UserError(f"'{path.stem}' is being written by another process; wait for it or stop it first")
        self._descriptor = descriptor
        self._end = 0
        try:
            os.ftruncate(descriptor, 0)
            self._write(MAGIC + encode_frame(0, [{"type": "header", "schema_version": SCHEMA_VERSION, **header}]))
            os.fsync(descriptor)
        except OSError as error:
            self.remove()
            raise UserError(
                f"cannot write '{path}': {error.strerror}; free some room or choose another workspace"
            ) from None
        self._header_end = self._end

    def append(self, records: list[dict[str, Any]]) -> int:
        """Write one batch and return its sequence number; after the return no kill can lose it.

        Raises:
            OSError: e.g. when the disk is full; the journal then ends where it ended before.
        """
        frame = encode_frame(self.sequence + 1, records)
        self._write(frame)
        self.sequence += 1
        self._newest.append(frame)
        self._newest_size += len(frame)
        while self._newest_size > KEPT_BYTES:
            self._newest_size -= len(self._newest.popleft())
        return self.sequence

    def sync(self) -> None:
        """Bring what was appended onto the disk itself, against power loss."""
        os.fsync(self._descriptor)

    def clear(self) -> None:
        """Drop all frames but the header and the newest ones, after they have been folded into a durable file."""
        os.ftruncate(self._descriptor, self._header_end)
        self._end = self._header_end
        with suppress(OSError):  # no room: then those who follow the run read its file
            self._write(b"".join(self._newest))

    @property
    def size(self) -> int:
        """Bytes in the journal."""
        return self._end

    def close(self) -> None:
        """Give up the lock and leave the journal behind."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the journal, whose contents have been folded, and give up the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        remove_locked(descriptor, self.path)

    def _write(self, data: bytes) -> None:
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
