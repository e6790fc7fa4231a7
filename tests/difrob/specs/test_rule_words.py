"""The rules that a value can break are told in plain words, the same for every face."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import ValidationError

from difrob.errors import UserError
from difrob.specs import KINDS, apply_overrides, parse_spec
from difrob.specs.base import Spec, parameter
from difrob.specs.words.rule_words import rule_words


class Inner(Spec):
    depth: int = parameter(1, gt=0)


class Everything(Spec):
    whole: int = parameter(1, ge=0, le=10)
    number: float = parameter(0.5, gt=0, lt=1)
    flag: bool = parameter(True)
    word: str = parameter("a", min_length=1, max_length=3)
    pair: str = parameter("ab", min_length=2)
    choice: Literal["first", "second", "third"] = parameter("first")
    some: tuple[float, ...] = parameter((1.0, 2.0), min_length=2, max_length=3)
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("whole", -1, "must be at least 0"),
        ("whole", 11, "must be at most 10"),
        ("whole", "ten", "must be a whole number"),
        ("whole", 1.5, "must be a whole number"),
        ("whole", [1], "must be a whole number"),
        ("whole", None, "must be given"),
        ("whole", "9" * 5000, "has more digits than any number here may have"),
        ("number", 0, "must be above 0"),
        ("number", 1.0, "must be below 1"),
        ("number", "8/0", "must be a number"),
        ("number", float("nan"), "must be a finite number"),
        ("flag", "perhaps", "must be true or false"),
        ("word", "", "must not be empty"),
        ("word", "abcd", "must have at most 3 characters"),
        ("word", 5, "must be a text"),
        ("pair", "a", "must have at least 2 characters"),
        ("choice", "secnd", "must be 'first', 'second' or 'third'; did you mean 'second'?"),
        ("choice", "zzz", "must be 'first', 'second' or 'third'"),
        ("some", [1], "must have at least 2 values"),
        ("some", [1, 2, 3, 4], "must have at most 3 values"),
        ("some", "x", "must be a list"),
        ("inner", 5, "must be a group of fields"),
    ],
)
def test_each_rule_has_words(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({field: value})
    assert [rule_words(item) for item in caught.value.errors()] == [words]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps=ten", "'steps' = 'ten': must be a whole number"),
        ("attack.eps=-1", "'attack.eps' = -1: must be at least 0"),
        ("alignment.teacher=nobody", "must be 'none', 'denoiser', 'random' or 'classifier'"),
        ("attack.eps=8", "'attack': eps = 8.0 exceeds the whole intensity range [0, 1] of the linf norm; pixels lie in "
                         "[0,1]: write 8/255 or 0.0314"),
    ],
)  # fmt: skip
def test_the_sentence_names_field_value_and_rule(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec({"kind": "train_classifier", **apply_overrides({}, [text], KINDS["train_classifier"])})
    assert sentence in str(caught.value) and "Input should" not in str(caught.value)
