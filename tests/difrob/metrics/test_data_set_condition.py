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


def digest_of(condition: dict[str, str]) -> str:
    return condition["digest"]


def test_built_in_sets_are_named_by_the_digest_of_the_whole() -> None:
    assert data_set_condition(BUILT_IN["digits"], "test") == {"name": "digits", "digest": "d15b1ecc2d01"}
    assert data_set_condition(BUILT_IN["toy-ring"], "validation") == {"name": "toy-ring", "digest": ""}


def test_the_split_that_is_measured_on_decides() -> None:
    first, other_training = record("a", "1", "2"), record("b", "1", "3")
    measured = data_set_condition(first, "test")
    assert measured["name"] == "a" and len(digest_of(measured)) == 12
    assert digest_of(measured) == digest_of(data_set_condition(other_training, "test"))
    assert digest_of(data_set_condition(first, "train")) != digest_of(data_set_condition(other_training, "train"))
    assert digest_of(measured) != digest_of(data_set_condition(record("a", "9", "2"), "test"))
    assert digest_of(data_set_condition(replace(first, splits={}), "test")) == "f" * 12
