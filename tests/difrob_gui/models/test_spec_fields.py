"""What the form reads out of the specifications: every field, its shape, its limits, its problems."""

from __future__ import annotations

from typing import Any

import pytest

from difrob.specs import KINDS, JobSpec, parse_spec, walk_fields
from difrob.specs.words.field_words import show
from difrob_gui.models.spec_fields import (
    HEADER_FIELDS,
    MISSING,
    Problem,
    Shape,
    check,
    fields_of,
    flatten,
    groups_of,
    nest,
)

EVERY = pytest.mark.parametrize("spec", KINDS.values(), ids=list(KINDS))


def minimal(spec: type[JobSpec]) -> dict[str, Any]:
    """The smallest specification of a kind that is accepted."""
    kind = spec.model_fields["kind"].default
    required = [field for field in fields_of(spec) if field.required]
    values = {field.path: ["a.npz"] if field.shape is Shape.TEXTS else "some-run" for field in required}
    return {"kind": kind, **nest(values)}


@EVERY
def test_every_field_has_a_place_a_label_and_help(spec: type[JobSpec]) -> None:
    fields = fields_of(spec)
    assert [field.path for field in fields] == [path for path, _ in walk_fields(spec) if path not in HEADER_FIELDS]
    for field in fields:
        assert field.label and field.help and field.group, field.path
        assert "_" not in field.label
        assert field.path in field.tooltip()
        if field.shape in (Shape.CHOICE, Shape.CHOICES):
            assert field.choices
    assert [f for group in groups_of(fields).values() for f in group] == sorted(
        fields, key=lambda field: list(groups_of(fields)).index(field.group)
    )


@EVERY
def test_defaults_are_those_of_the_specification(spec: type[JobSpec]) -> None:
    parsed = parse_spec(minimal(spec)).model_dump(mode="json")
    for field in fields_of(spec):
        if not field.required:
            assert flatten(parsed, spec)[field.path] == field.default, field.path


def test_a_part_with_other_defaults_keeps_them() -> None:
    steps = {field.path: field.default for field in fields_of(KINDS["evaluate"])}["attack.steps"]
    assert steps == 40


def test_groups_with_inputs_come_first() -> None:
    for kind in ("generate", "train_classifier", "evaluate", "certify"):
        assert next(iter(groups_of(fields_of(KINDS[kind])))) == "Inputs"


def test_shapes() -> None:
    shapes = {field.path: field.shape for field in fields_of(KINDS["evaluate"])}
    assert shapes["classifier"] is Shape.RUN
    assert shapes["images"] is Shape.INTEGER
    assert shapes["attack.norm"] is Shape.CHOICE
    assert shapes["losses"] is Shape.CHOICES
    assert shapes["eps_grid"] is Shape.NUMBERS
    assert shapes["sanity_checks"] is Shape.FLAG
    train = {field.path: field for field in fields_of(KINDS["train_classifier"])}
    assert train["network.channels"].shape is Shape.INTEGERS
    assert train["beta"].shape is Shape.NUMBER
    assert "trades" in train["beta"].shown_when["objective"] and "standard" not in train["beta"].shown_when["objective"]
    assert train["data.train_size"].optional
    assert train["data.train_size"].empty_means == "empty = all"
    assert train["generated_fraction"].limits == "at least 0, at most 1"
    network = {field.path: field for field in fields_of(KINDS["train_denoiser"])}
    assert network["network.width"].shown_when == {"network.architecture": ["residual_mlp", "straight_mlp"]}


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        ("train_classifier", {"beta": "abc"}, Problem("beta", "must be a number")),
        ("train_classifier", {"steps": "12x"}, Problem("steps", "must be a whole number")),
        ("train_classifier", {"steps": 1.5}, Problem("steps", "must be a whole number")),
        ("train_classifier", {"steps": None}, Problem("steps", MISSING)),
        ("train_classifier", {"steps": 0}, Problem("steps", "must be at least 1")),
        ("train_classifier", {"beta": float("nan")}, Problem("beta", "must be a finite number")),
        ("train_classifier", {"network.channels": [16, "x"]}, Problem("network.channels", "must be a whole number")),
        (
            "train_classifier",
            {"objective": "magic"},
            Problem("objective", "must be 'trades', 'pgd_at', 'mart', 'score', 'standard' or 'gaussian'"),
        ),
        ("evaluate", {}, Problem("classifier", MISSING)),
    ],
)
def test_problems_are_told_at_their_field(kind: str, values: dict[str, Any], problem: Problem) -> None:
    spec, problems = check({"kind": kind, **nest(values)})
    assert spec is None
    assert problem in problems


def test_rules_over_several_fields_are_told_at_the_field_they_name() -> None:
    spec, problems = check({"kind": "train_classifier", "attack": {"norm": "linf", "eps": 2.0}})
    assert spec is None
    assert [problem.path for problem in problems] == ["attack.eps"]
    assert "exceeds the whole intensity range" in problems[0].message
    _, problems = check({"kind": "generate", "denoiser": "x", "sigma_min": 90.0})
    assert [problem.path for problem in problems] == ["sigma_min"]


def test_a_specification_that_nobody_knows() -> None:
    spec, problems = check({"kind": "magic"})
    assert spec is None
    assert "unknown job kind 'magic'" in problems[0].message and problems[0].path == ""
    _, problems = check({"kind": "certify", "classifier": "x", "version": 99})
    assert "newer than" in problems[0].message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "on"), (False, "off"), (5, "5"), (5.0, "5"), (0.0005, "0.0005"), (5e-7, "5e-07"),
        ((16, 32), "16, 32"), ([], ""), ([0.1, 2.0], "0.1, 2"), ("linf", "linf"),
    ],
)  # fmt: skip
def test_values_as_text(value: Any, text: str) -> None:
    assert show(value) == text
