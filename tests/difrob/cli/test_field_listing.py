"""``--fields`` and ``--presets`` can be read on every width, and searched in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from difrob.cli import main
from difrob.specs import KINDS, TrainClassifierSpec, face_of, list_presets, walk_fields

ALIGNMENT = [path for path, info in walk_fields(TrainClassifierSpec) if face_of(info) and "alignment" in path]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No width is set, and no workspace is there that a listing might need."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("DIFROB_WORKSPACE", str(tmp_path / "none"))


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["run", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_a_meaning_has_room(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = listed(capsys, "train_classifier", "--fields", "alignment")
    column = lines[1].index("meaning")
    meanings = [line[column:].rstrip() for line in lines[2:]]
    assert max(map(len, meanings)) > 80 and len(lines) < 3 * len(ALIGNMENT)
    assert "The classifier whose features are taken; its best weights." in meanings
    assert not (tmp_path / "none").exists(), "a listing makes no workspace"


def test_a_narrow_terminal_gets_a_block_for_each_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = listed(capsys, "train_classifier", "--fields", "alignment")
    assert max(map(len, lines)) <= 80
    assert [line.split(" = ")[0] for line in lines[2:] if not line.startswith("    ")] == ALIGNMENT
    assert "alignment.sigma = 0.3  [-1,1] range" in lines


def test_fields_can_be_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys, "train_classifier", "--fields", "ALIGN")
    assert [line.split()[0] for line in lines[2:] if line[:1].strip()] == ALIGNMENT
    assert not any(line.startswith("presets") for line in lines), "what was asked for is one group"
    assert main(["run", "train_classifier", "--fields", "alignmant"]) == 2
    assert "no field with 'alignmant' in its name; did you mean 'alignment'?" in capsys.readouterr().err
    text = " ".join(listed(capsys, "train_classifier", "--fields"))
    assert "FIELD=none empties an optional field" in text and "8/255" in text


@pytest.mark.parametrize("kind", KINDS)
def test_presets_stand_in_a_table_of_their_own(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    presets = list_presets(kind)
    lines = listed(capsys, kind, "--presets")
    assert len(lines) == len(presets) + 2 if presets else lines == [f"{kind} has no presets"]
    for preset, line in zip(presets, lines[2:], strict=False):
        assert line.startswith(f"{preset.name} ") and preset.title in line and len(line) <= 160
    both = listed(capsys, kind, "--fields")
    assert both[-len(lines):] == lines  # fmt: skip
