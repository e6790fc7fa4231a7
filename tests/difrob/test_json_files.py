"""One reader for JSON from disk: what it takes, and each kind of file that it refuses with a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from difrob.errors import UserError
from difrob.json_files import MAX_DEPTH, read_json_object


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"b": [{"a": 1, "a": 2}]}', "'a' stands twice"),
        ("[1]", "holds no object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("{", "it is not JSON"),
        (nested(MAX_DEPTH + 1), "nested more than 64 deep"),
        ('{"a":' + "[" * 200_000, "nested more than 64 deep"),
        ('{"a": "' + "x" * 2_000_000 + '"}', "larger than 1000000 bytes"),
    ],
)
def test_what_is_no_plain_object_is_refused_with_the_reason(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UserError, match=wrong):
        read_json_object(path, 1_000_000)


def test_the_limits_themselves_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(nested(MAX_DEPTH))
    assert set(read_json_object(path, path.stat().st_size)) == {"a"}


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UserError, match="it is not JSON"):
        read_json_object(path, 100)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_that_nobody_writes_to_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="not a regular file"):
        read_json_object(tmp_path / "pipe.json", 100)
