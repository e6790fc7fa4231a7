"""Fixtures for all tests: a private runtime folder, a workspace, supervisors that do not outlive their test."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DIFROB_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")

import psutil
import pytest
from support.processes import processes_of
from support.shared_data import shared_data_folder

from difrob.runs import Workspace

pytest_plugins = ["support.time_budget"]


def pytest_collection_finish() -> None:
    """What was imported stays for good: no collection of garbage need look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def private_runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets, settings and data of a test never touch those of the person who runs it."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.delenv("DIFROB_WORKSPACE", raising=False)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """A test that leaves a Python thread behind fails."""
    before = set(threading.enumerate())
    yield
    foreign = threading._DummyThread  # a thread of Qt in which Python code has run: Qt's to join, and checked there
    left = [t for t in set(threading.enumerate()) - before if t.is_alive() and not isinstance(t, foreign)]
    for thread in left:
        thread.join(2.0)
    still = [
        thread.name for thread in left if thread.is_alive() and not thread.name.startswith(("pytest_timeout", "tmp"))
    ]
    assert not still, f"threads left behind: {still}"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace; supervisors and workers that a test started in it are killed at the end."""
    workspace = Workspace(tmp_path / "workspace")
    yield workspace
    processes = processes_of(workspace.root)
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=5)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data files for tests; skips where they are missing."""
    folder = shared_data_folder()
    if folder is None:
        pytest.skip("no real data files here; set DIFROB_TEST_DATA to a folder that has them")
    return folder
