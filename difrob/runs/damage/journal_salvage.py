"""What is left of a journal that was damaged on the disk: the whole frames beyond the damage as well.

A journal whose writer was killed ends in a torn frame at most. Anything else (bytes that changed, a part that is missing)
is damage, and what lies behind it is found by looking for the next frame whose checksum fits.
"""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from difrob.errors import UserError
from difrob.runs.journal import FRAME, MAGIC, MALFORMED, MAX_FRAME, PAYLOAD, Frame, Scan, decode_payload, scan_journal
from difrob.runs.schema import Newer

_RECORDS_BEGIN = b'[{"'


@dataclass(frozen=True)
class JournalRemains:
    """All whole frames of a journal, in order.

    Attributes:
        scan: the frames; ``offset`` is the end of the last one.
        damage: what is wrong in one sentence; "" for a journal that is whole, but for a torn tail.
        tail: bytes behind the last whole frame.
    """

    scan: Scan
    damage: str
    tail: int

    def without_samples_after_gap(self, folded: int) -> tuple[list[Frame], list[str]]:
        """The frames to be folded into a file that holds those up to ``folded``, and what that leaves out.

        A resumed run goes on at the row where its samples end, so rows that follow on missing ones are no use to it.
        """
        frames, left_out, expected = [], [], folded + 1
        for frame in self.scan.frames:
            if frame.sequence > folded:
                if frame.sequence > expected:
                    left_out.append(f"journal frames {expected} to {frame.sequence - 1}")
                expected = frame.sequence + 1
            records = [record for record in frame.records if not (left_out and record.get("type") == "samples")]
            if len(records) < len(frame.records):
                left_out.append(f"the samples in journal frame {frame.sequence}, which follow on missing ones")
            frames.append(replace(frame, records=records))
        return frames, left_out


def read_remains(path: Path) -> JournalRemains:
    """Everything readable in a journal.

    Raises:
        UserError: when nothing in it is.
        Newer: when a newer difrob wrote it.
        FileNotFoundError: when there is no such file.
    """
    damage = ""
    try:
        scan = scan_journal(path)
    except Newer:
        raise
    except UserError as error:
        scan, damage = Scan([], 0, torn=True), str(error)
    frames, end = list(scan.frames), scan.offset
    size = path.stat().st_size
    if scan.torn and size:
        for start, after, frame in _frames_beyond(path, scan.offset):
            if frames and frame.sequence <= frames[-1].sequence:
                continue
            if start > end:
                damage = damage or f"bytes {end} to {start - 1} of the journal are damaged"
            frames.append(frame)
            end = after
    if damage and not frames:
        raise UserError(damage)
    return JournalRemains(Scan(frames, end, torn=end < size), damage, size - end)


def _frames_beyond(path: Path, offset: int) -> list[tuple[int, int, Frame]]:
    """Whole frames anywhere behind ``offset``: begin, end, frame."""
    found = []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        lead = FRAME.size + PAYLOAD.size
        at = data.find(_RECORDS_BEGIN, max(offset, len(MAGIC)))
        while at >= 0:
            start, step = at - lead, 1
            if start >= offset:
                length, checksum = FRAME.unpack_from(data, start)
                end = start + FRAME.size + length
                if PAYLOAD.size <= length <= MAX_FRAME and end <= len(data):
                    payload = data[start + FRAME.size : end]
                    if zlib.crc32(payload) == checksum:
                        try:
                            found.append((start, end, decode_payload(payload)))
                            step = end - at
                        except MALFORMED:
                            step = 1
            at = data.find(_RECORDS_BEGIN, at + step)
    return found
