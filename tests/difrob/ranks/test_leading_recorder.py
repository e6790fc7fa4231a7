"""The recorder of the leading process: everything reaches the recorder behind it, and an order reaches the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.memory_recorder import MemoryRecorder
from support.recorder_protocol import METHODS, PROPERTIES, arguments, parameters

from difrob.errors import Stopped
from difrob.ranks.leading_recorder import LeadingRecorder
from difrob.ranks.orders import ORDERS, await_order
from difrob.ranks.shares import Ranks
from difrob.runs.interface import Recorder


@dataclass(frozen=True)
class ListeningRanks(Ranks):
    """Ranks that keep what the leader tells them."""

    heard: list[int] = field(default_factory=list)

    def told(self, number: int) -> int:
        self.heard.append(number)
        return number


class WitnessRecorder:
    """Any recorder: takes every call, keeps it, and answers with something that no other call is answered with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, object] = {}

    def __getattr__(self, name: str) -> Any:
        answer = self.answers.setdefault(name, object())
        return answer if name in PROPERTIES else self._taker(name, answer)

    def _taker(self, name: str, answer: object) -> Callable[..., object]:
        def take(*positional: Any, **by_name: Any) -> object:
            self.calls.append((name, complete(name, positional, by_name)))
            return answer

        return take


def complete(name: str, positional: Any, by_name: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names that the protocol gives them, defaults included."""
    bound = inspect.signature(getattr(Recorder, name)).bind(None, *positional, **by_name)
    bound.apply_defaults()
    return dict(bound.arguments)


@pytest.mark.parametrize("only_required", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_passed_on(name: str, only_required: bool) -> None:
    witness = WitnessRecorder()
    positional, by_name = arguments(name, only_required=only_required)
    answer = getattr(LeadingRecorder(witness, ListeningRanks()), name)(*positional, **by_name)
    assert witness.calls == [(name, complete(name, positional, by_name))]
    gives_nothing = inspect.signature(getattr(Recorder, name)).return_annotation in ("None", None)
    assert answer is (None if gives_nothing else witness.answers[name])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_what_the_protocol_says(name: str) -> None:
    assert parameters(LeadingRecorder, name) == parameters(Recorder, name)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_is_that_of_the_recorder_behind(name: str) -> None:
    witness = WitnessRecorder()
    assert getattr(LeadingRecorder(witness, ListeningRanks()), name) is witness.answers[name]


def test_what_is_not_in_the_protocol_is_not_passed_on() -> None:
    """A job must not find in a shared run what it would not find in one of its own."""
    assert not hasattr(LeadingRecorder(WitnessRecorder(), ListeningRanks()), "finish")


@pytest.mark.parametrize("grade", [grade for grade in ORDERS if grade is not None])
def test_the_followers_hear_of_a_stop_before_it_is_obeyed(grade: str) -> None:
    ranks = ListeningRanks()
    recorder = LeadingRecorder(MemoryRecorder(stop_at_check=1, stop_grade=grade), ranks)
    recorder.check_stop()
    assert [ORDERS[number] for number in ranks.heard] == [None]
    with pytest.raises(Stopped) as stopped:
        recorder.check_stop()
    assert stopped.value.grade == grade
    assert [ORDERS[number] for number in ranks.heard] == [None, grade]


def test_another_error_is_no_order() -> None:
    def full(number: int) -> None:
        raise OSError("the disk is full")

    ranks = ListeningRanks()
    with pytest.raises(OSError, match="the disk is full"):
        LeadingRecorder(MemoryRecorder(on_check=full), ranks).check_stop()
    assert ranks.heard == []


def test_a_process_alone_goes_on() -> None:
    assert await_order(Ranks()) is None
