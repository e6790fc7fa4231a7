"""``field=value`` on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from difrob.errors import UserError
from difrob.specs import KINDS, apply_overrides, parse_spec
from difrob.specs.typed_values import fraction


def override(kind: str, *overrides: str, **values: Any) -> dict[str, Any]:
    return apply_overrides({"kind": kind, **values}, list(overrides), KINDS[kind])


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("train_classifier", "steps=5", {"steps": 5}),
        ("train_classifier", " steps = 5 ", {"steps": 5}),
        ("train_classifier", "learning_rate=1e-3", {"learning_rate": 1e-3}),
        ("train_classifier", "attack.eps=0.25", {"attack": {"eps": 0.25}}),
        ("train_classifier", "network.channels=[8, 16]", {"network": {"channels": [8, 16]}}),
        ("evaluate", 'losses=["margin"]', {"losses": ["margin"]}),
        ("train_classifier", "gradient_clip=null", {"gradient_clip": None}),
        ("train_classifier", "gradient_clip=None", {"gradient_clip": None}),
        ("train_classifier", "generated=none", {"generated": None}),
        ("train_classifier", 'generated="none"', {"generated": "none"}),
        ("train_classifier", "attack.random_start=false", {"attack": {"random_start": False}}),
        ("train_classifier", "attack.random_start=True", {"attack": {"random_start": True}}),
        ("train_classifier", "objective=standard", {"objective": "standard"}),
        ("train_classifier", "name=a=b", {"name": "a=b"}),
        ("train_classifier", "name=", {"name": ""}),
        ("train_classifier", "name= spaced out ", {"name": "spaced out"}),
        ("train_classifier", "name=123", {"name": "123"}),
        ("train_classifier", "name=true", {"name": "true"}),
        ("train_classifier", "name=null", {"name": "null"}),
        ("train_classifier", "name=[1]", {"name": "[1]"}),
        ("train_classifier", 'name="quoted"', {"name": "quoted"}),
        ("train_classifier", "generated=20240101", {"generated": "20240101"}),
        ("evaluate", "classifier=1e5", {"classifier": "1e5"}),
        ("train_classifier", "alignment.teacher=none", {"alignment": {"teacher": "none"}}),
        ("train_classifier", "alignment.teacher=None", {"alignment": {"teacher": "none"}}),
        ("train_classifier", "alignment.noise=none", {"alignment": {"noise": "none"}}),
        ("train_denoiser", "regulariser.constraint=none", {"regulariser": {"constraint": "none"}}),
        ("train_denoiser", "corruption.kind=none", {"corruption": {"kind": "none"}}),
        ("train_classifier", "gradient_clip=", {"gradient_clip": None}),
        ("train_classifier", "data.train_size=none", {"data": {"train_size": None}}),
        ("train_classifier", "generated=", {"generated": None}),
        ("evaluate", "eps_grid=none", {"eps_grid": []}),
        ("evaluate", "eps_grid=", {"eps_grid": []}),
        ("train_classifier", "attack.eps=8/255", {"attack": {"eps": 8 / 255}}),
        ("train_classifier", "attack.step_size= 2 / 255 ", {"attack": {"step_size": 2 / 255}}),
        ("train_classifier", "gradient_clip=.5/1e1", {"gradient_clip": 0.05}),
        ("train_classifier", "steps=1000/4", {"steps": 250.0}),
        ("evaluate", "eps_grid=2/255, 0.05,8/255", {"eps_grid": [2 / 255, 0.05, 8 / 255]}),
        ("evaluate", "eps_grid=[2/255, 0.05]", {"eps_grid": [2 / 255, 0.05]}),
        ("train_classifier", "name=8/255", {"name": "8/255"}),
    ],
)
def test_values_are_what_the_field_means(kind: str, text: str, expected: dict[str, Any]) -> None:
    assert override(kind, text) == {"kind": kind, **expected}
    needed = {"evaluate": {"classifier": "a"}}.get(kind, {})
    parse_spec({**needed, **override(kind, text)})


def test_several_overrides_add_up_and_the_given_values_stay_untouched() -> None:
    values = {"kind": "train_classifier", "attack": {"norm": "l2"}, "steps": 1}
    result = apply_overrides(values, ["attack.eps=2", "steps=2", "steps=3"], KINDS["train_classifier"])
    assert result == {"kind": "train_classifier", "attack": {"norm": "l2", "eps": 2}, "steps": 3}
    assert values == {"kind": "train_classifier", "attack": {"norm": "l2"}, "steps": 1}


@pytest.mark.parametrize("attack", [None, 5, "x", []])
def test_a_group_that_is_no_group_is_replaced(attack: Any) -> None:
    assert override("train_classifier", "attack.eps=0.1", attack=attack)["attack"] == {"eps": 0.1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps", "'steps' is not of the form field=value"),
        ("step=5", "unknown field 'step'; did you mean 'steps'?"),
        ("epz=5", "unknown field 'epz'; did you mean 'attack.eps'?"),
        ("attack={}", "unknown field 'attack'; it is a group of fields: attack.norm, attack.eps, "),
        ("attack.eps.x=1", "unknown field 'attack.eps.x'; did you mean 'attack.eps'?"),
        ("=5", "unknown field ''; 'difrob run train_classifier --fields' lists all of them"),
        ("__class__=5", "unknown field '__class__'"),
    ],
)
def test_mistakes_are_told_in_sentences(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        override("train_classifier", text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "text", ["attack.eps=NaN", "attack.eps=Infinity", "steps=1e400", "steps=[", "steps=" + "[" * 99_999]
)
def test_values_that_no_field_takes_are_refused_when_parsed(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec(override("train_classifier", text))
    assert f"'{text.partition('=')[0]}' = " in str(caught.value) and len(str(caught.value)) < 300


def test_lists_need_no_brackets() -> None:
    assert override("train_denoiser", "network.channels=32,64")["network"]["channels"] == [32, 64]
    assert override("train_denoiser", "network.channels=32")["network"]["channels"] == [32]
    assert override("evaluate", "losses=cross_entropy, margin")["losses"] == ["cross_entropy", "margin"]
    assert override("evaluate", "eps_grid=[0.1,0.2]")["eps_grid"] == [0.1, 0.2]
    assert override("import_images", "paths=a,b.npz")["paths"] == ["a,b.npz"]


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("train_classifier", "epochs", "steps"),
        ("train_classifier", "lr", "learning_rate"),
        ("train_classifier", "epsilon", "attack.eps"),
        ("train_classifier", "batch", "batch_size"),
        ("train_classifier", "archi", "network.architecture"),
        ("train_classifier", "optimizer", "optimiser"),
        ("train_classifier", "attack.stpes", "attack.steps"),
        ("generate", "cfg", "guidance_scale"),
    ],
)
def test_the_field_that_was_meant_is_named(kind: str, typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        override(kind, f"{typed}=1")


def test_what_nobody_can_guess_is_told_where_all_fields_are() -> None:
    with pytest.raises(UserError, match=r"'zzz'; 'difrob run generate --fields' lists all of them$"):
        override("generate", "zzz=1")
    with pytest.raises(UserError, match=r"the nearest are .*sampling_steps.*--fields' lists all of them$"):
        override("generate", "schedule_steps=1")


@pytest.mark.parametrize(
    ("text", "number"),
    [("8/255", 8 / 255), (" -1 / 4 ", -0.25), ("1e-2/2.", 0.005), ("8", None), ("8/0", None), ("8/-0.0", None),
     ("a/b", None), ("8/255/2", None), ("", None), ("\u0668/2", None), ("1" * 200 + "/3", None)],
)  # fmt: skip
def test_fractions(text: str, number: float | None) -> None:
    assert fraction(text) == number
