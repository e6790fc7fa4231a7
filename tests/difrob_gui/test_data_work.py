"""The command behind the Data page: progress, results, complaints in one sentence, cancelling, closing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from support.data_files import some_images, write_idx

from difrob.runs import Workspace
from difrob_gui.data_work import ADD, CHECK, REMOVE, DataWork, sentence_of

PATIENCE = 30_000
SHORT = """
import json, sys
for done in (1, 4):
    print(json.dumps({"done": done, "total": 4, "what": "reading"}), flush=True)
print("a library says something")
print(json.dumps({"name": sys.argv[-1], "words": sys.argv[1:]}))
"""
FAILING = (
    "import sys; print('Warning: x', file=sys.stderr); print('difrob: there is no file', file=sys.stderr); sys.exit(2)"
)
ENDLESS = """
import signal, sys, time
def stop(*_): sys.exit(3)
signal.signal(signal.SIGINT, stop)
print('{"done": 1, "total": 0, "what": "waiting"}', flush=True)
time.sleep(60)
"""
STUBBORN = ENDLESS.replace("stop)", "signal.SIG_IGN)")


def work_of(script: str, qtbot: QtBot, tmp_path: Path) -> tuple[DataWork, list[Any]]:
    work = DataWork(tmp_path, [sys.executable, "-c", script])
    news: list[Any] = []
    work.progressed.connect(lambda *what: news.append(what))
    work.ended.connect(lambda *what: news.append(("ended", *what)))
    work.failed.connect(lambda *what: news.append(("failed", *what)))
    return work, news


def test_progress_and_result(qtbot: QtBot, tmp_path: Path) -> None:
    work, news = work_of(SHORT, qtbot, tmp_path)
    with qtbot.waitSignal(work.ended, timeout=PATIENCE):
        work.start(ADD, "-odd path", ["--name=x"])
        assert work.is_busy and work.command == ADD
        with pytest.raises(RuntimeError):
            work.start(CHECK, "y")
    assert news[:2] == [(1.0, 4.0, "reading"), (4.0, 4.0, "reading")]
    _, command, subject, result = news[2]
    assert (command, subject, result["name"]) == (ADD, "-odd path", "-odd path")
    words = ["data", "add", "--workspace", str(tmp_path), "--lines", "--name=x", "--", "-odd path"]
    assert result["words"] == words
    assert not work.is_busy and work.command == ""


def test_a_complaint_is_the_sentence_of_the_command(qtbot: QtBot, tmp_path: Path) -> None:
    work, news = work_of(FAILING, qtbot, tmp_path)
    with qtbot.waitSignal(work.failed, timeout=PATIENCE):
        work.start(REMOVE, "x")
    assert news == [("failed", REMOVE, "x", "there is no file")]
    assert sentence_of(b"Traceback\nKeyError: 3\n") == "KeyError: 3" and sentence_of(b" \n") == ""


def test_a_command_that_cannot_be_started(qtbot: QtBot, tmp_path: Path) -> None:
    work = DataWork(tmp_path, [str(tmp_path / "nothing")])
    with qtbot.waitSignal(work.failed, timeout=PATIENCE) as told:
        work.start(ADD, "x")
    assert "could not be started" in told.args[2] and not work.is_busy


@pytest.mark.parametrize("script", [ENDLESS, STUBBORN], ids=["willing", "stubborn"])
def test_cancelling(qtbot: QtBot, tmp_path: Path, script: str) -> None:
    work, news = work_of(script, qtbot, tmp_path)
    work._grace.setInterval(300)
    with qtbot.waitSignal(work.progressed, timeout=PATIENCE):
        work.start(ADD, "x")
    with qtbot.waitSignal(work.failed, timeout=PATIENCE):
        work.cancel()
        work.cancel()
    assert news[-1] == ("failed", ADD, "x", "") and not work._grace.isActive()


def test_closing_ends_the_command_without_a_word(qtbot: QtBot, tmp_path: Path) -> None:
    work, news = work_of(ENDLESS, qtbot, tmp_path)
    with qtbot.waitSignal(work.progressed, timeout=PATIENCE):
        work.start(ADD, "x")
    process = work._process
    work.close()
    assert process.processId() == 0 and not work.is_busy
    assert [what[0] for what in news] == [1.0]
    work.close()


@pytest.mark.slow
def test_the_real_command(qtbot: QtBot, tmp_path: Path, workspace: Workspace) -> None:
    images, labels = some_images(60)
    folder = write_idx(tmp_path / "files", (images, labels), (images[:20], labels[:20]))
    work = DataWork(workspace.root)
    with qtbot.waitSignal(work.ended, timeout=60_000) as told:
        work.start(ADD, str(folder), ["--name=mine", "--validation=10"])
    assert told.args[2] == {"name": "mine"} and workspace.data_set("mine").splits["validation"].images == 10
    with qtbot.waitSignal(work.ended, timeout=60_000):
        work.start(CHECK, "mine")
    with qtbot.waitSignal(work.failed, timeout=60_000) as told:
        work.start(ADD, str(folder), ["--name=mine"])
    assert "there is a data set 'mine' already" in told.args[2]
    with qtbot.waitSignal(work.ended, timeout=60_000) as told:
        work.start(REMOVE, "mine")
    assert Path(told.args[2]["bin"]).is_dir() and workspace.datasets.all()[-1].folder is None
