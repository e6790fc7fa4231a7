"""Specifications of all job kinds: defaults, records, faces, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.errors import UserError
from difrob.specs import (
    KINDS,
    JobSpec,
    apply_overrides,
    face_of,
    input_runs,
    parse_spec,
    run_kinds,
    spec_class,
    value_at,
    walk_fields,
)
from difrob.specs.takes import held_by

NEEDED = {
    "generate": {"denoiser": "a"}, "evaluate": {"classifier": "b"}, "certify": {"classifier": "c"},
    "measure": {"generated": "d", "inception_path": "weights.pth"}, "import_images": {"paths": ["set.npz"]},
    "import_denoiser": {"path": "model.pkl", "data": {"dataset": "digits"}},
    "probe_teacher": {"denoiser": "e"}, "analyse": {"classifier": "f"},
}  # fmt: skip
RUNS_OF_CHOICES = {"alignment": {"denoiser": "e", "classifier": "f"}}  # some choices need a run to be named
BESIDE_CHOICES = {"adamw": {"learning_rate": 0.001}}  # some refuse the default of another field
SCHEMA_FIELDS = {"kind", "version"}
FIELDS = [(kind, path) for kind, spec in KINDS.items() for path, _ in walk_fields(spec) if path not in SCHEMA_FIELDS]
NUMBERS = [
    (kind, path) for kind, path in FIELDS
    if isinstance(value_at(parse_spec({"kind": kind, **NEEDED.get(kind, {})}), path), float)
]  # fmt: skip


def values_of(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, **NEEDED.get(kind, {}), **changes}


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_of_every_kind_are_valid_and_survive_json(kind: str) -> None:
    spec = parse_spec(values_of(kind))
    assert type(spec) is KINDS[kind] is spec_class(kind) and spec.kind == kind and spec.version >= 1
    assert spec.title and spec.summary
    record = json.loads(json.dumps(spec.model_dump(mode="json"), allow_nan=False))
    assert parse_spec(record) == spec
    assert parse_spec(record).model_dump(mode="json") == record


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_names_every_field_so_that_later_defaults_do_not_change_it(kind: str) -> None:
    record = parse_spec(values_of(kind)).model_dump(mode="json")
    for path, _ in walk_fields(KINDS[kind]):
        place: Any = record
        for part in path.split("."):
            assert part in place, path
            place = place[part]


@pytest.mark.parametrize(("kind", "path"), FIELDS)
def test_every_field_has_what_its_faces_need(kind: str, path: str) -> None:
    spec = KINDS[kind]
    fields = dict(walk_fields(spec))
    info = fields[path]
    face = face_of(info)
    assert info.description and info.description[0] == info.description[0].strip() and len(info.description) < 300
    assert info.description.rstrip()[-1] in ".)", "a sentence ends with a full stop"
    assert face["group"] and face["group"][0].isupper()
    assert set(face) == {
        "unit", "source", "group", "shown_when", "takes", "empty_means", "condition", "other_names", "advanced",
    }  # fmt: skip
    json.dumps(face)
    assert set(run_kinds(info)) <= set(KINDS) and bool(run_kinds(info)) == bool(held_by(info))
    assert "empty for" not in info.description.lower() and face["empty_means"][-1:] not in (".", ";")
    if face["empty_means"]:
        parse_spec(apply_overrides(values_of(kind), [f"{path}="], spec))
    group = path.rpartition(".")[0]
    for sibling, values in face["shown_when"].items():
        sibling_path = f"{group}.{sibling}" if group else sibling
        assert sibling_path in fields and sibling_path != path and values
        for value in values:
            chosen = nested(sibling_path, value) | BESIDE_CHOICES.get(str(value), {})
            for outer, runs in RUNS_OF_CHOICES.items():
                if outer in chosen:
                    chosen[outer] |= runs
            parse_spec({**values_of(kind), **chosen})


@pytest.mark.parametrize(("kind", "path"), NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf"])
def test_only_finite_numbers_are_taken(kind: str, path: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"'{path}' = "):
        parse_spec({**values_of(kind), **nested(path, value)})


def test_lists_of_numbers_are_finite_too() -> None:
    assert parse_spec(values_of("evaluate", eps_grid=[0.1, 0.2])).eps_grid == (0.1, 0.2)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"'eps_grid.1' = nan"):
        parse_spec(values_of("evaluate", eps_grid=[0.1, math.nan]))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (values_of("train_classifier", objektive="trades"), "unknown field 'objektive'; did you mean 'objective'?"),
        (
            values_of("train_classifier", attack={"epsilon": 1}),
            "unknown field 'attack.epsilon'; did you mean 'attack.eps'?",
        ),
        (values_of("train_classifier", eps=0.1), "unknown field 'eps'; did you mean 'attack.eps'?"),
        (values_of("generate", zzzzzz=1), "unknown field 'zzzzzz'; 'difrob run generate --fields' lists all of them"),
        ({"kind": "generate"}, "'denoiser' must be given"),
        ({"kind": "import_denoiser"}, "'path' must be given; 'data.dataset' must be given"),
        (values_of("generate", images=0), "'images' = 0: must be at least 1"),
        (values_of("generate", images="many"), "'images' = 'many': must be a whole number"),
        (values_of("generate", images=1.5), "'images' = 1.5"),
        (values_of("generate", denoiser=""), "'denoiser' = ''"),
        (values_of("generate", sigma_min=5, sigma_max=1), "'generate': sigma_min = 5.0 must lie below sigma_max = 1.0"),
        (values_of("train_classifier", attack={"eps": 3}), "'attack': eps = 3.0 exceeds the whole intensity range"),
        (
            values_of("train_classifier", attack={"eps": 8}),
            "of the linf norm; pixels lie in [0,1]: write 8/255 or 0.0314",
        ),
        (values_of("certify", n=2), "'certify': n = 2 draws cannot certify any radius"),
        (values_of("generate", name="x" * 500), "'name' = 'xxxxx"),
        (values_of("generate", seed=-1), "'seed' = -1"),
        (values_of("generate", images=0, rho=0), "'images' = 0: must be at least 1; 'rho' = 0"),
        ({"kind": "paint"}, "unknown job kind 'paint'; known kinds: train_denoiser, generate"),
        ({"kind": ["generate"]}, "unknown job kind"),
        ({}, "a specification needs a field 'kind'"),
        ([], "a specification needs a field 'kind'"),
        (None, "a specification needs a field 'kind'"),
        (values_of("generate", version=2), "has version 2, newer than 1, the newest that this difrob knows"),
        (values_of("generate", version=0), "'version' = 0: a generate specification has a version from 1 to 1"),
        (values_of("generate", version="1"), "'version' = '1'"),
        (values_of("generate", version=True), "'version' = True"),
        (values_of("generate", version=None), "'version' = None"),
    ],
)
def test_mistakes_are_told_in_sentences(values: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec(values)
    message = str(caught.value)
    assert sentence in message
    assert len(message) < 1500 and "pydantic" not in message and "\n" not in message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(list(KINDS)), st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_given_becomes_a_specification_or_a_sentence(kind: str, data: st.DataObject) -> None:
    names = sorted({path.split(".")[0] for path, _ in walk_fields(KINDS[kind])} - {"kind"})
    values = values_of(kind, **data.draw(st.dictionaries(st.sampled_from([*names, "other"]), JSON, max_size=4)))
    try:
        spec = parse_spec(values)
    except UserError as error:
        assert str(error)
        return
    record = json.loads(json.dumps(spec.model_dump(mode="json"), allow_nan=False))
    assert parse_spec(record) == spec


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_cannot_be_changed(kind: str) -> None:
    spec = parse_spec(values_of(kind))
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 5  # type: ignore[misc]


def test_the_runs_that_a_specification_reads_are_its_inputs() -> None:
    assert input_runs(parse_spec(values_of("certify"))) == {"classifier": "c"}
    assert input_runs(parse_spec(values_of("certify", denoiser="d"))) == {"classifier": "c", "denoiser": "d"}
    assert input_runs(parse_spec(values_of("train_classifier"))) == {}
    assert input_runs(parse_spec(values_of("train_denoiser"))) == {}


def test_parts_can_be_given_as_far_as_they_differ() -> None:
    spec = parse_spec(values_of("train_classifier", attack={"eps": 0.2}))
    default = parse_spec(values_of("train_classifier"))
    assert value_at(spec, "attack.eps") == 0.2 and value_at(spec, "attack.norm") == value_at(default, "attack.norm")
    assert isinstance(spec, JobSpec) and spec != default
