"""Journals and presets made hostile. A journal's checksums are right more often than not, so that the lie gets inside."""

from __future__ import annotations

import json
import random
import struct
import zlib
from typing import Any

from faults.hostile_files import flip_bytes, move_bytes, odd_json, spoil_json

from difrob.runs.journal import MAGIC, REFERENCE

_FRAME = struct.Struct("<II")
_PAYLOAD = struct.Struct("<QI")
RECORD_TYPES = ("metrics", "curve", "images", "samples", "log", "result", "attribute", "parent", "progress", "state",
                "rewind", "end", "header", "unknown")  # fmt: skip


def hostile_journal(data: bytes, chance: random.Random) -> bytes:
    """A journal of which a few bytes, frames or records are other than its writer made them."""
    how = chance.randrange(5)
    if how == 0:
        return flip_bytes(data, chance)
    if how == 1:
        return move_bytes(data, chance)
    payloads = payloads_of(data)
    at = chance.randrange(len(payloads))
    if how == 2:
        payloads[at] = flip_bytes(payloads[at], chance)
    elif how == 3:
        payloads = chance.choice([
            payloads[:at] + payloads[at + 1 :],
            [*payloads[: at + 1], *payloads[at:]],
            chance.sample(payloads, len(payloads)),
            [*payloads[:at], _numbered(payloads[at], chance.choice([0, 1, 1 << 40, (1 << 64) - 1])), *payloads[at + 1 :]],
        ])  # fmt: skip
    else:
        payloads[at] = spoil_payload(payloads[at], chance)
    return MAGIC + b"".join(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload for payload in payloads)


def payloads_of(data: bytes) -> list[bytes]:
    """The payloads of the frames of a sound journal."""
    found, at = [], len(MAGIC)
    while at < len(data):
        length, _ = _FRAME.unpack_from(data, at)
        found.append(data[at + _FRAME.size : at + _FRAME.size + length])
        at += _FRAME.size + length
    return found


def _numbered(payload: bytes, sequence: int) -> bytes:
    _, length = _PAYLOAD.unpack_from(payload)
    return _PAYLOAD.pack(sequence, length) + payload[_PAYLOAD.size :]


def spoil_payload(payload: bytes, chance: random.Random) -> bytes:
    """Put something odd into one record of a frame, or add a record of any shape."""
    sequence, length = _PAYLOAD.unpack_from(payload)
    records = json.loads(payload[_PAYLOAD.size : _PAYLOAD.size + length])
    how = chance.randrange(4)
    if how == 0:
        records.append(_record(chance))
    elif how == 1:
        records.append({"type": "samples", "columns": {"x": {REFERENCE: _reference(chance)}}})
    else:
        for _ in range(chance.choice([1, 1, 3])):
            spoil_json(records, chance)
    text = json.dumps(records).encode()
    length = chance.choice([len(text)] * 9 + [0, len(text) - 1, (1 << 32) - 1])
    return _PAYLOAD.pack(sequence, length) + text + payload[_PAYLOAD.size + length :]


def _record(chance: random.Random) -> dict[str, Any]:
    names = (
        "rows",
        "step",
        "name",
        "x",
        "y",
        "columns",
        "measure",
        "value",
        "state",
        "time",
        "images",
        "run_id",
        "done",
    )
    return {"type": chance.choice(RECORD_TYPES), **{chance.choice(names): odd_json(chance) for _ in range(4)}}


def _reference(chance: random.Random) -> dict[str, Any]:
    shapes: list[Any] = [[1 << 62], [1 << 29, 1 << 29], [-1], [0] * 40, [1.5], "3", [], [0, 1 << 30], None]
    types = ["<f8", "|O", "<U9", ">f8", "<M8[s]", "|V1000000", "f8,f8", "<f3", "", None, 3]
    return {
        "at": chance.choice([0, 1, -1, 1 << 62, "0", None]),
        "shape": chance.choice(shapes),
        "dtype": chance.choice(types),
    }


def hostile_preset(preset: dict[str, Any], chance: random.Random) -> bytes:
    """A preset file: a real one with something odd in it, JSON of any shape, or no JSON at all."""
    how = chance.randrange(6)
    if how == 0:
        return json.dumps(odd_json(chance)).encode()
    if how == 1:
        return flip_bytes(json.dumps(preset).encode(), chance)
    if how == 2:
        return move_bytes(json.dumps(preset).encode(), chance)
    if how == 3:
        return chance.choice([b"[" * 200_000, b'{"a":' * 100_000, b"", b"\xff\xfe", b" " * 2_000_000, b"1" * 900_000])
    value = json.loads(json.dumps(preset))
    for _ in range(chance.choice([1, 1, 2, 5])):
        spoil_json(value, chance)
    return json.dumps(value).encode()
