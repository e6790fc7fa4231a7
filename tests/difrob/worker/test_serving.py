"""One supervisor per workspace, and everybody else learns who it is."""

from __future__ import annotations

import json
import os
import socket

import pytest

from difrob.runs import Workspace
from difrob.runs.locks import lock_within
from difrob.worker.serving import ServedAlready, Server, server_of, serving
from difrob.worker.transport import Connection, NoSupervisor, ServedElsewhere, connect


@pytest.fixture
def held(workspace: Workspace, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """The lock held as a supervisor on another machine would hold it, with what it wrote into it."""
    descriptor = os.open(workspace.root / "supervisor.lock", os.O_RDWR | os.O_CREAT)
    assert lock_within(descriptor, 1)
    os.write(descriptor, request.param)
    yield workspace
    os.close(descriptor)


ELSEWHERE = json.dumps({"host": "far-away", "pid": 77}).encode()


def test_who_serves_can_be_read_as_long_as_it_does(workspace: Workspace) -> None:
    assert server_of(workspace) is None
    with serving(workspace):
        server = server_of(workspace)
        assert server == Server(socket.gethostname(), os.getpid()) and not server.is_elsewhere
    assert server_of(workspace) is None
    with serving(workspace):
        assert server_of(workspace) == server


def test_the_second_steps_back_and_names_the_first(workspace: Workspace) -> None:
    with serving(workspace), pytest.raises(ServedAlready) as caught, serving(workspace, seconds=0):
        pass
    assert f"process {os.getpid()} on host '{socket.gethostname()}'; this one steps back" in str(caught.value)
    assert str(workspace.root) in str(caught.value)


@pytest.mark.parametrize("held", [b"", b"{", b"[1]", b'{"host": "x"}', b'{"host": "x", "pid": "y"}'], indirect=True)
def test_a_lock_that_says_nothing_readable_is_still_a_lock(held: Workspace) -> None:
    assert server_of(held) is None
    with pytest.raises(ServedAlready, match=r"already serves '[^']+'; this one"), serving(held, seconds=0):
        pass


@pytest.mark.parametrize("held", [ELSEWHERE], indirect=True)
@pytest.mark.parametrize("start", [True, False])
def test_a_client_on_another_machine_is_told_where_the_supervisor_is(held: Workspace, start: bool) -> None:
    with pytest.raises(ServedElsewhere) as caught:
        connect(held, start=start)
    assert f"'{held.root}' is served from host 'far-away' (process 77); use it there" in str(caught.value)
    assert not (held.root / "supervisor.log").exists(), "it must not even try to start one"


def test_a_stale_note_of_another_machine_is_no_obstacle(workspace: Workspace) -> None:
    (workspace.root / "supervisor.lock").write_bytes(ELSEWHERE)
    with pytest.raises(NoSupervisor, match="no supervisor runs") as caught:
        Connection(workspace)
    assert not isinstance(caught.value, ServedElsewhere)
