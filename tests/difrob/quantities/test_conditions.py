"""Conditions are data; the sentence is made from them, and records of before are read into them once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.metrics.conditions import attack_conditions, indices_condition, stated
from difrob.quantities.conditions import compared, condition_text, differ, sentence
from difrob.quantities.earlier import name_today, parted
from difrob.runs import Measure
from difrob.specs import AttackSpec

ATTACK = AttackSpec(norm="linf", eps=0.15, steps=40)


def test_an_attack_is_said_in_a_phrase() -> None:
    conditions = {
        **attack_conditions(ATTACK, ("cross_entropy", "margin"), 2), "images": 1600, "split": "test", "indices": "ab12",
        "data_set": {"name": "digits", "digest": "d15b1ecc2d01"},
    }  # fmt: skip
    assert sentence("", conditions) == (
        "PGD with cross-entropy loss and margin loss, linf eps 0.15, 40 steps of 0.0375, 2 restarts per loss, "
        "1,600 test images; data set: digits (d15b1ecc2d01)"
    )
    assert Measure(0.5, **stated("robust", **conditions)).sentence.startswith("robust, PGD with ")


def test_smoothing_is_said_in_a_phrase() -> None:
    levels = {"radius": 0.25, "sigma": 0.5, "n0": 100, "n": 100000, "alpha": 0.001}
    assert sentence("certified", levels) == "certified, l2 radius 0.25, sigma 0.5, n0 100, n 100000, alpha 0.001"


def test_what_has_no_phrase_follows_by_name() -> None:
    assert sentence("a distance", {"generated": "500 images", "fitted_to": 3, "features": ""}) == (
        "a distance; generated: 500 images; fitted to: 3"
    )
    assert sentence("", {"sigma": 0.5}) == "sigma: 0.5" and sentence("", {}) == ""


def test_without_a_random_start_there_is_one_restart() -> None:
    still = ATTACK.model_copy(update={"random_start": False})
    assert attack_conditions(still, ("margin",), 5)["restarts"] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (0.25, "0.25"), (1600, "1,600"), (["a", 2], "a, 2"), (None, "none"),
     ({"name": "digits", "digest": "ab"}, "digits (ab)"), ({"name": "ring", "digest": ""}, "ring")],
)  # fmt: skip
def test_values_as_people_write_them(value: object, text: str) -> None:
    assert condition_text(value) == text


def test_a_data_set_is_compared_by_its_digest_if_it_has_one() -> None:
    first, renamed = {"name": "mnist", "digest": "ab"}, {"name": "mnist-official", "digest": "ab"}
    assert compared("data_set", first) == compared("data_set", renamed)
    assert compared("data_set", first) != compared("data_set", {"name": "mnist", "digest": "cd"})
    assert compared("data_set", {"name": "a", "digest": ""}) != compared("data_set", {"name": "b", "digest": ""})


def test_the_same_images_in_another_order_are_the_same_images() -> None:
    assert indices_condition(np.array([3, 1, 2])) == indices_condition(np.array([1, 2, 3], dtype=np.int32))
    assert indices_condition(np.array([3, 1, 2])) != indices_condition(np.array([1, 2, 4]))
    assert len(indices_condition(np.array([], dtype=np.int64))) == 12


@given(
    conditions=st.dictionaries(
        st.sampled_from(["generated", "reference", "features", "held_out"]),
        st.text(st.characters(blacklist_characters=";:"), min_size=1, max_size=30).filter(lambda text: text.strip()),
    )
)
def test_prose_of_before_gives_the_conditions_that_it_stated(conditions: dict[str, str]) -> None:
    prose = "; ".join(["some distance", *(f"{name.replace('_', ' ')}: {value}" for name, value in conditions.items())])
    assert parted(prose, "") == ("some distance", conditions)


def test_prose_without_conditions_stays_prose() -> None:
    assert parted("a distance", "") == ("a distance", {}) and parted("", "") == ("", {})
    smoothing = "radius; randomised smoothing, sigma 0.25, 600 test images"
    assert parted(smoothing, "") == (smoothing, {})
    verdict = "6 steps leave 52.8% standing; the attack has not converged: raise its steps"
    assert parted(verdict, "passed") == (verdict, {})
    named = parted("unattacked; data set: my set (2) (d15b1ecc2d01)", "share")[1]
    assert named == {"data_set": {"name": "my set (2)", "digest": "d15b1ecc2d01"}}


def test_a_name_that_meant_two_things_is_told_apart_by_the_kind_of_run() -> None:
    assert name_today("generate", "duplicate_share") == "exact_copy_share"
    assert name_today("measure", "duplicate_share") == "duplicate_share"


def state(**changes: object) -> dict[str, object]:
    return {"classifier": {"run": "a", "weights": "best", "step": 300, "finished": True, "digest": "ab", **changes}}


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        ({}, False),
        ({"run": "b", "step": 500, "digest": "cd"}, False),  # two classifiers are there to be compared
        ({"step": 400, "digest": "cd"}, True),
        ({"digest": "cd"}, True),
        ({"finished": False}, False),  # the same weights of one run, read while it still trained
        ({"run": "b", "digest": "cd", "finished": False}, True),
        ({"run": "b", "digest": "cd", "weights": "last"}, True),
    ],
)
def test_inputs_are_compared_by_what_was_read_of_them(change: dict[str, object], unlike: bool) -> None:
    assert differ("inputs", [state(), state(**change)]) is unlike
    assert differ("inputs", [state(), {"denoiser": state()["classifier"]}]) is False


def test_the_states_of_inputs_are_said_role_by_role() -> None:
    inputs = {
        **state(), "denoiser": {"weights": "last", "step": 5, "finished": False}, "generated": {"rows": 1440, "finished": True},
        "second": {"weights": "step", "step": 7, "finished": True},
    }  # fmt: skip
    assert (
        sentence("", {"inputs": inputs})
        == condition_text(inputs)
        == (
            "classifier of step 300 (best weights), denoiser of step 5 (last weights, its run had not finished), generated of "
            "1,440 rows, second of step 7"
        )
    )
