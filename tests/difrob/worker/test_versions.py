"""A supervisor that is older than the command line that asks it: a refusal says so, and what to do."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from difrob import __version__
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.specs import TrainDenoiserSpec
from difrob.worker import messages
from difrob.worker.messages import decode, own_version, refusal, refusal_text
from difrob.worker.serving import serving
from difrob.worker.transport import Connection, connect

Answer = Callable[[int], dict[str, Any]]


@pytest.fixture
def refused(workspace: Workspace) -> Iterator[Callable[[Answer], str]]:
    """Asks a supervisor that answers one request so, and returns what the person is told."""
    threads: list[threading.Thread] = []

    def ask(answer: Answer) -> str:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(workspace.socket_path)
        listener.listen()

        def serve() -> None:
            with listener, listener.accept()[0] as client, client.makefile("rb") as lines:
                number = decode(lines.readline())["id"]
                client.sendall(json.dumps(answer(number)).encode() + b"\n")

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        with serving(workspace), Connection(workspace) as connection, pytest.raises(UserError) as caught:
            connection.call("submit", entries=[])
        os.unlink(workspace.socket_path)
        return str(caught.value)

    yield ask
    for thread in threads:
        thread.join(5)


def test_a_refusal_of_the_same_version_is_told_as_it_is(refused: Callable[[Answer], str]) -> None:
    assert refused(lambda number: refusal(number, "the queue has no run 'x'")) == "the queue has no run 'x'"


def test_a_refusal_of_another_version_names_both_and_the_process_to_end(refused: Callable[[Answer], str]) -> None:
    told = refused(lambda number: refusal(number, "unknown field 'compute.devices'") | {"version": "0.0.9+12345678"})
    assert told == (
        "unknown field 'compute.devices'; the supervisor that serves this workspace is of another version of difrob "
        f"(0.0.9+12345678, this is {own_version()}), which may be the cause: end it (process {os.getpid()}; live runs "
        "go on) and try again"
    )


def test_a_refusal_without_a_version_is_from_an_older_one(refused: Callable[[Answer], str]) -> None:
    told = refused(lambda number: {"id": number, "ok": False, "error": "unknown call 'x'"})
    assert told.startswith("unknown call 'x'; the supervisor") and "(an older one, this is " in told


def test_a_client_that_does_not_know_the_process_names_none() -> None:
    assert refusal_text({"error": "no"}).endswith("which may be the cause: end it and try again")


def test_the_version_tells_fields_apart_that_the_number_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_version()
    assert before.startswith(f"{__version__}+") and before == own_version.__wrapped__()

    class Wider(TrainDenoiserSpec):
        novelty: int = 1

    monkeypatch.setattr(messages, "KINDS", {**messages.KINDS, "train_denoiser": Wider})
    assert own_version.__wrapped__() != before


def test_the_real_supervisor_says_its_version_with_a_refusal(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        number = connection.send("submit", entries=[{"spec": {"kind": "train_denoiser", "novelty": 1}}])
        answer = connection.receive(20)
        assert answer is not None and answer["id"] == number and not answer["ok"]
        assert "unknown field 'novelty'" in answer["error"] and answer["version"] == own_version()
