"""How descriptions name the data set that something was measured on."""

from __future__ import annotations

from dataclasses import replace

from difrob.metrics.conditions import data_set_condition
from difrob.runs.datasets import BUILT_IN, DataSetRecord, SplitRecord


def record(name: str, test: str, train: str) -> DataSetRecord:
    splits = {
        split: SplitRecord([5, 5], {"images": digest, "labels": "l"})
        for split, digest in (("test", test), ("train", train))
    }
    return DataSetRecord(name, name, "idx", (1, 8, 8), ["0", "1"], splits, False, "f" * 32)


def digest_of(condition: str) -> str:
    return condition.split(" ")[1].strip("()")


def test_built_in_sets_are_named_by_the_digest_of_the_whole() -> None:
    assert data_set_condition(BUILT_IN["digits"], "test") == "digits (d15b1ecc2d01)"
    assert data_set_condition(BUILT_IN["toy-ring"], "validation") == "toy-ring"


def test_the_split_that_is_measured_on_decides() -> None:
    first, other_training = record("a", "1", "2"), record("b", "1", "3")
    assert (
        data_set_condition(first, "test").startswith("a (") and len(digest_of(data_set_condition(first, "test"))) == 12
    )
    assert digest_of(data_set_condition(first, "test")) == digest_of(data_set_condition(other_training, "test"))
    assert digest_of(data_set_condition(first, "train")) != digest_of(data_set_condition(other_training, "train"))
    assert digest_of(data_set_condition(first, "test")) != digest_of(data_set_condition(record("a", "9", "2"), "test"))
    assert data_set_condition(replace(first, splits={}), "test") == "a (ffffffffffff)"
