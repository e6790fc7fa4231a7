"""The journal against torn, flipped and malicious bytes, full disks and other writers."""

from __future__ import annotations

import errno
import json
import os
import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from difrob.errors import UserError
from difrob.runs.journal import MAGIC, MAX_FRAME, Frame, JournalWriter, decode_payload, encode_frame, scan_journal
from difrob.runs.schema import SCHEMA_VERSION

NUMBERS = st.sampled_from(["|b1", "|i1", "|u1", "<i2", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8", ">i4", ">f8"])
ARRAYS = NUMBERS.flatmap(
    lambda dtype: npst.arrays(np.dtype(dtype), npst.array_shapes(min_dims=0, min_side=0, max_side=4))
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
RECORDS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=4)


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, arrays by value, shape and kind of number (byte order aside)."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        little = [np.asarray(x).astype(np.asarray(x).dtype.newbyteorder("<")) for x in (a, b)]
        return little[0].dtype == little[1].dtype and a.shape == b.shape and little[0].tobytes() == little[1].tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


def same_frames(a: list[Frame], b: list[Frame]) -> bool:
    return [frame.sequence for frame in a] == [frame.sequence for frame in b] and all(
        same(x.records, y.records) for x, y in zip(a, b, strict=True)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.journal"


def raw_frame(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def json_frame(value: Any, sequence: int = 1, arrays: bytes = b"") -> bytes:
    text = json.dumps(value).encode() if not isinstance(value, bytes) else value
    return raw_frame(struct.pack("<QI", sequence, len(text)) + text + arrays)


@given(RECORDS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_records_come_back_as_they_were(records: list[dict[str, Any]]) -> None:
    frame = decode_payload(encode_frame(7, records)[8:])
    assert frame.sequence == 7
    assert same(records, frame.records)


@given(st.lists(RECORDS, max_size=4))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_batches_come_back_from_the_file_in_order(tmp_path_factory: pytest.TempPathFactory, batches: list[Any]) -> None:
    path = tmp_path_factory.mktemp("journal") / "run.journal"
    writer = JournalWriter(path, {"run_id": "x"}, sequence=40)
    numbers = [writer.append(batch) for batch in batches]
    writer.close()
    assert numbers == list(range(41, 41 + len(batches)))
    scan = scan_journal(path)
    assert scan.header == {"type": "header", "schema_version": SCHEMA_VERSION, "run_id": "x"}
    assert not scan.torn and scan.offset == path.stat().st_size == writer.size
    assert same_frames([Frame(n, batch) for n, batch in zip(numbers, batches, strict=True)], scan.frames[1:])


def small_journal(path: Path) -> tuple[bytes, list[Frame], list[int]]:
    """Bytes, frames and where each frame ends."""
    writer = JournalWriter(path, {"run_id": "x"})
    ends = [writer.size]
    for number in range(3):
        writer.append([{"a": number, "b": np.arange(number, dtype=np.int16)}])
        ends.append(writer.size)
    writer.close()
    return path.read_bytes(), scan_journal(path).frames, ends


def test_a_journal_cut_anywhere_gives_exactly_the_whole_frames_before_the_cut(path: Path) -> None:
    data, frames, ends = small_journal(path)
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        scan = scan_journal(path)
        whole = sum(end <= cut for end in ends)
        assert same_frames(scan.frames, frames[:whole]), cut
        assert scan.offset == ([len(MAGIC), *ends][whole] if cut >= len(MAGIC) else 0), cut
        assert scan.torn == (cut != scan.offset or cut < len(MAGIC)), cut
        # a reader that already stood at the end of a frame sees the same
        for start, end in enumerate(ends):
            if end <= cut:
                assert same_frames(scan_journal(path, end).frames, frames[start + 1 : whole])


def test_no_flipped_bit_goes_unnoticed(path: Path) -> None:
    data, frames, ends = small_journal(path)
    with open(path, "rb+", buffering=0) as file:
        for position in range(len(MAGIC), len(data)):
            before = sum(end <= position for end in ends)
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([data[position] ^ 1 << bit]), position)
                scan = scan_journal(path)
                assert same_frames(scan.frames, frames[:before]) and scan.torn, (position, bit)
            os.pwrite(file.fileno(), data[position : position + 1], position)
    path.write_bytes(b"X" + data[1:])
    with pytest.raises(UserError, match="not a difrob journal"):
        scan_journal(path)


def reference(**changes: Any) -> dict[str, Any]:
    return {"a": {"__array__": {"at": 0, "shape": [2], "dtype": "<f8", **changes}}}


HUGE = 10**30
MALFORMED = {
    "length beyond the file": struct.pack("<II", 1 << 20, 0) + b"x" * 50,
    "length beyond the limit": struct.pack("<II", MAX_FRAME + 1, 0) + b"x" * 50,
    "largest length": struct.pack("<II", 0xFFFFFFFF, 0) + b"x" * 50,
    "empty": raw_frame(b""),
    "zeros": bytes(4096),
    "too short": raw_frame(b"1234567"),
    "JSON part beyond the frame": raw_frame(struct.pack("<QI", 1, 0xFFFFFFFF) + b"[]"),
    "no JSON": json_frame(b"\xff\xfe"),
    "half JSON": json_frame(b'[{"a":'),
    "no list": json_frame({}),
    "list of no records": json_frame([1]),
    "deep JSON": json_frame(b"[" * 100_000),
    "long number": json_frame(b"[{" + b'"a":' + b"1" * 5000 + b"}]"),
    "object array": json_frame([reference(dtype="O")], arrays=bytes(16)),
    "objects in disguise": json_frame([reference(dtype="|O8")], arrays=bytes(16)),
    "text array": json_frame([reference(dtype="<U4")], arrays=bytes(16)),
    "void array": json_frame([reference(dtype="|V8")], arrays=bytes(16)),
    "structured array": json_frame([reference(dtype="f4,O")], arrays=bytes(16)),
    "sub-array": json_frame([reference(dtype="(1000000,1000000)f8")], arrays=bytes(16)),
    "no type": json_frame([reference(dtype=5)], arrays=bytes(16)),
    "unknown type": json_frame([reference(dtype="<f3")], arrays=bytes(16)),
    "beyond the frame": json_frame([reference(shape=[3])], arrays=bytes(16)),
    "begins beyond the frame": json_frame([reference(at=8)], arrays=bytes(16)),
    "huge": json_frame([reference(shape=[HUGE])], arrays=bytes(16)),
    "huge and nothing": json_frame([reference(shape=[0, HUGE])], arrays=bytes(16)),
    "overflowing product": json_frame([reference(shape=[2**32, 2**32])], arrays=bytes(16)),
    "infinite": json_frame(b'[{"a":{"__array__":{"at":0,"shape":[Infinity],"dtype":"<f8"}}}]', arrays=bytes(16)),
    "negative": json_frame([reference(shape=[-1])], arrays=bytes(16)),
    "twice negative": json_frame([reference(shape=[-1, -2])], arrays=bytes(16)),
    "negative start": json_frame([reference(at=-16)], arrays=bytes(16)),
    "fraction": json_frame([reference(shape=[1.5])], arrays=bytes(16)),
    "truth": json_frame([reference(shape=[True])], arrays=bytes(16)),
    "text shape": json_frame([reference(shape="11")], arrays=bytes(16)),
    "no shape": json_frame([reference(shape=None)], arrays=bytes(16)),
    "too many dimensions": json_frame([reference(shape=[1] * 200)], arrays=bytes(16)),
    "empty reference": json_frame([{"a": {"__array__": {}}}]),
    "reference that is none": json_frame([{"a": {"__array__": [1]}}]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_ends_the_journal_and_costs_no_memory(path: Path, name: str) -> None:
    good = MAGIC + encode_frame(0, [{"type": "header"}])
    path.write_bytes(good + MALFORMED[name] + encode_frame(2, [{"later": 1}]))
    tracemalloc.start()
    try:
        scan = scan_journal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [frame.sequence for frame in scan.frames] == [0]
    assert scan.offset == len(good) and scan.torn
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ([{"a": object()}], TypeError),
        ([{"a": np.array(["text"])}], TypeError),
        ([{"a": np.array([None])}], TypeError),
        ([{"a": np.array([1j])}], TypeError),
        ([{"a": {"__array__": {"at": 0, "shape": [], "dtype": "<f8"}}}], ValueError),
        ([{"__array__": 1}], ValueError),
    ],
)
def test_what_cannot_come_back_is_refused_and_nothing_is_written(path: Path, records: Any, error: Any) -> None:
    writer = JournalWriter(path, {})
    with pytest.raises(error):
        writer.append(records)
    assert writer.size == path.stat().st_size and writer.sequence == 0
    assert writer.append([{"a": "__array__"}]) == 1
    writer.close()
    assert scan_journal(path).frames[1].records == [{"a": "__array__"}]


@pytest.mark.parametrize("written", [0, 1, 8, 20, 21, 45])
def test_a_full_disk_leaves_the_journal_where_it_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    writer = JournalWriter(path, {"run_id": "x"})
    writer.append([{"number": 1}])
    before = path.read_bytes()
    real_write = os.write

    def full(descriptor: int, data: bytes) -> int:
        nonlocal written
        if written <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = min(written, 7, len(data))
        written -= part
        return real_write(descriptor, bytes(data)[:part])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as caught:
        writer.append([{"number": 2, "long": "x" * 100}])
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before and writer.size == len(before) and writer.sequence == 1
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, bytes(data)[:5]))  # short writes
    assert writer.append([{"number": 2, "long": "x" * 100}]) == 2
    writer.close()
    assert [frame.records[0].get("number") for frame in scan_journal(path).frames] == [None, 1, 2]


def test_clearing_keeps_the_header_the_newest_frames_and_the_numbering(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", 300)
    writer = JournalWriter(path, {"run_id": "x"})
    for _ in range(10):
        writer.append([{"text": "x" * 50}])
    for kept in ([8, 9, 10], [8, 9, 10]):
        writer.clear()
        assert [frame.sequence for frame in scan_journal(path).frames] == [0, *kept]
    assert writer.append([{"text": "x" * 1000}]) == 11  # too large to be kept, and so is what came before it
    writer.clear()
    scan = scan_journal(path)
    assert [frame.sequence for frame in scan.frames] == [0] and scan.offset == writer.size == path.stat().st_size
    assert writer.append([{"number": 12}]) == 12

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        writer.clear()
    assert [frame.sequence for frame in scan_journal(path).frames] == [0]
    assert writer.append([{"number": 13}]) == 13
    writer.close()
    scan = scan_journal(path)
    assert scan.header is not None and scan.header["run_id"] == "x"
    assert [frame.sequence for frame in scan.frames] == [0, 13]


def test_a_second_writer_is_refused_while_the_first_lives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.journal.LOCK_SECONDS", 0.1)
    writer = JournalWriter(path, {"run_id": "x"})
    writer.append([{"number": 1}])
    before = path.read_bytes()
    with pytest.raises(UserError, match="being written by another process"):
        JournalWriter(path, {"run_id": "y"})
    assert path.read_bytes() == before
    writer.close()
    JournalWriter(path, {"run_id": "y"}).close()


def test_a_writer_that_waited_for_a_journal_which_was_then_deleted_writes_a_new_one(path: Path) -> None:
    first = JournalWriter(path, {"run_id": "x"})
    found: list[JournalWriter] = []
    thread = threading.Thread(target=lambda: found.append(JournalWriter(path, {"run_id": "y"})))
    thread.start()
    time.sleep(0.1)
    first.remove()
    thread.join(5)
    scan = scan_journal(path)  # it lies in the folder, not in a deleted file
    assert scan.header is not None and scan.header["run_id"] == "y"
    found[0].close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot write .*gone.*choose a workspace"):
        JournalWriter(tmp_path / "gone" / "run.journal", {})

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match="No space left on device; free some room"):
        JournalWriter(tmp_path / "run.journal", {})
    assert not list(tmp_path.iterdir())


def test_a_journal_that_shrinks_while_it_is_read_gives_whole_frames_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.journal"
    writer = JournalWriter(path, {"run_id": "run"})
    try:
        header_end = writer.size
        writer.append([{"type": "log", "time": 0.0, "level": "info", "text": "x" * 100}])
        size = path.stat().st_size
        for cut in range(header_end, header_end + 12):
            os.truncate(path, cut)
            real = os.fstat

            def size_of_before(descriptor: int, real=real) -> os.stat_result:
                status = list(real(descriptor))
                status[6] = size  # what the reader was told before the writer shortened the file
                return os.stat_result(status)

            monkeypatch.setattr(os, "fstat", size_of_before)
            assert [frame.sequence for frame in scan_journal(path).frames] == [0]
            monkeypatch.setattr(os, "fstat", real)
    finally:
        writer.close()
