"""Preset files: those that come along, and those that are wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from difrob.errors import UserError
from difrob.specs import KINDS, list_presets, load_preset, parse_spec, walk_fields
from difrob.specs.presets import MAX_PRESET_BYTES, read_preset
from difrob.specs.takes import held_by

GOOD = {"kind": "generate", "title": "A title", "description": "What it is.", "spec": {"images": 7}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, kind in (("fast", "generate"), ("slow", "generate"), ("other", "certify")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**GOOD, "kind": kind, "spec": {"images": len(name)}}))
    return tmp_path


def test_presets_are_listed_and_loaded_by_name(folder: Path) -> None:
    assert [preset.name for preset in list_presets(folder=folder)] == ["fast", "other", "slow"]
    assert [preset.name for preset in list_presets("generate", folder)] == ["fast", "slow"]
    preset = load_preset("fast", "generate", folder)
    assert (preset.kind, preset.title, preset.description, preset.spec) == (
        "generate", "A title", "What it is.", {"images": 4},
    )  # fmt: skip
    assert load_preset(str(folder / "slow.json")) == load_preset("slow", folder=folder)


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("fst", None, "unknown preset 'fst'; did you mean 'fast'?"),
        ("zzz", None, "unknown preset 'zzz'; known presets: fast, other, slow"),
        ("zzz", "certify", "unknown preset 'zzz'; known presets: other"),
        ("other", "generate", "preset 'other' is for 'certify', not for 'generate'"),
        ("../fast", None, "unknown preset '../fast'"),
        ("/nowhere/x.json", None, "cannot read preset '/nowhere/x.json': No such file"),
    ],
)
def test_names_that_fit_nothing_are_told_with_the_nearest(
    folder: Path, name: str, kind: str | None, sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        load_preset(name, kind, folder)
    assert sentence in str(caught.value)


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "not a number of JSON": json.dumps({**GOOD, "spec": {"x": float("nan")}}).encode(),
    "nested deeply": json.dumps({**GOOD, "spec": {"x": json.loads("[" * 20 + "]" * 20)}}).encode(),
    "a number": b"5",
    "deep": b"[" * 100_000,
    "long number": b"1" * 10_000,
    **{f"no {name}": json.dumps({k: v for k, v in GOOD.items() if k != name}).encode() for name in GOOD},
    **{f"wrong {name}": json.dumps({**GOOD, name: [1]}).encode() for name in GOOD},
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_no_presets_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(WRONG[name])
    with pytest.raises(UserError, match=r"x\.json' is not a preset file: ") as caught:
        read_preset(path)
    assert len(str(caught.value)) < 300
    if name.split()[-1] in GOOD:
        assert f"'{name.split()[-1]}'" in str(caught.value)


def test_a_preset_is_bounded_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps({**GOOD, "description": "x" * MAX_PRESET_BYTES}).encode())
    with pytest.raises(UserError, match=f"larger than {MAX_PRESET_BYTES} bytes"):
        read_preset(path)
    with pytest.raises(UserError, match="is not a file"):
        read_preset(Path("/dev/zero"))  # its size is 0 and it never ends
    with pytest.raises(UserError, match="is not a file"):
        read_preset(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="is not a file"):
        read_preset(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="cannot read preset"):
        read_preset(tmp_path / "a\0b.json")


def _paths(values: dict[str, Any], prefix: str = "") -> list[str]:
    """The fields that a preset sets, as dotted paths."""
    found = []
    for name, value in values.items():
        found += _paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_the_presets_that_come_along_are_valid_and_name_no_runs(preset: Any) -> None:
    spec = KINDS[preset.kind]
    needed = {path for path, info in walk_fields(spec) if held_by(info)}
    required = {path: "a" for path, info in walk_fields(spec) if path in needed and info.is_required()}
    values = {"kind": preset.kind, **required, **preset.spec}
    assert not needed & set(_paths(preset.spec)), "runs are no part of a preset"
    if "alignment" in preset.spec:  # whoever takes it chooses the teacher
        values["alignment"] = {**preset.spec["alignment"], preset.spec["alignment"]["teacher"]: "a"}
    parsed = parse_spec(values)
    assert preset.title and preset.description.endswith(".")
    assert parse_spec(parsed.model_dump(mode="json")) == parsed
