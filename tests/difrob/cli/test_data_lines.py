"""``difrob data --lines``: what another program reads while a data set is added, checked, removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.data_files import some_images, write_idx

from difrob.cli import main


def test_every_line_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = some_images(60)
    files = write_idx(tmp_path / "files", (images, labels), (images[:20], labels[:20]))
    where = ["--workspace", str(tmp_path / "ws"), "--lines"]

    def lines(*words: str) -> list[dict[str, object]]:
        assert main(["data", *words]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    *progress, added = lines("add", *where, "--name", "mine", "--", str(files))
    assert progress and all(set(line) == {"done", "total", "what"} for line in progress)
    assert progress[-1]["done"] == progress[-1]["total"] and added == {"name": "mine"}
    *progress, checked = lines("check", *where, "mine")
    assert progress[-1]["done"] == progress[-1]["total"] and checked["name"] == "mine" and checked["digest"]
    (removed,) = lines("rm", *where, "mine")
    assert removed["name"] == "mine" and Path(str(removed["bin"])).is_dir()
    assert main(["data", "add", *where, "--", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.startswith("difrob: ")
