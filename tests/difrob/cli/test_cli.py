"""The command line, as a person types it: real processes, real runs, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from support.waiting import wait_until

from difrob.cli import main
from difrob.runs import Workspace
from difrob.specs import KINDS

TINY = [
    "-s",
    "steps=30",
    "-s",
    "batch_size=16",
    "-s",
    "sample_every=0",
    "-s",
    "network.width=32",
    "-s",
    "network.blocks=1",
]


def difrob(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "difrob", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints that succeeds, in this process: a process of its own would mostly import."""
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a small denoiser, made through the command line."""
    workspace = Workspace(tmp_path_factory.mktemp("cli") / "workspace")
    process = difrob("run", "train_denoiser", *TINY, "--name", "small", "-w", str(workspace.root), "--json")
    assert process.returncode == 0, process.stderr
    record = json.loads(process.stdout)
    assert record["state"] == "finished" and record["name"] == "small"
    return workspace


def test_a_run_leaves_one_file_that_any_viewer_opens(trained: Workspace) -> None:
    summary = trained.summaries()[-1]
    with h5py.File(trained.run_path(summary.run_id)) as file:
        assert json.loads(file["spec"].asstr()[()])["steps"] == 30
        assert file["metrics/loss/value"].shape[0] >= 1
        assert file["metrics/loss"].attrs["NX_class"] == "NXdata"
        assert len(file["checkpoints"]) >= 1


def test_runs_can_be_named_by_name_and_build_on_each_other(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(trained.root)]
    fields = ["-s", "denoiser=small", "-s", "images=20", "-s", "sampling_steps=3"]
    process = difrob("run", "generate", *fields, "--name", "set", *place)
    assert process.returncode == 0, process.stderr
    assert "finished" in process.stdout
    record = json.loads(answer(capsys, "show", "set", *place, "--json"))
    assert record["kind"] == "generate" and list(record["parents"]) == ["denoiser"]
    compared = json.loads(answer(capsys, "compare", "small", "set", "--all", *place, "--json"))
    assert "sampling_steps" in compared["differences"]
    assert "small" in answer(capsys, "compare", "small", "set", *place)
    assert "small" in answer(capsys, "runs", *place)
    assert "small" in answer(capsys, "show", "small", *place)


def test_ctrl_c_stops_at_a_safe_point_and_the_run_resumes(tmp_path: Path) -> None:
    folder = str(tmp_path / "workspace")
    arguments = ["run", "train_denoiser", *TINY, "-s", "steps=1500", "--name", "long", "-w", folder, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "difrob", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    workspace = Workspace(folder)
    deadline = time.monotonic() + 60
    while not any(summary.progress.done > 20 for summary in workspace.summaries()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    record = json.loads(output)
    assert record["state"] == "interrupted" and "stopped on request" in record["reason"] and record["has_checkpoint"]
    done = record["progress"]["done"]
    assert 20 < done < 1500
    resumed = difrob("run", "--resume", "long", "-w", folder)
    assert resumed.returncode == 0, resumed.stderr
    series = workspace.reader(record["run_id"]).metrics("loss")["loss"]
    assert series.step[-1] == 1500 and (series.step[1:] > series.step[:-1]).all()


def test_a_run_through_the_queue(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(workspace.root)]
    queued = difrob("run", "train_denoiser", *TINY, "--queue", *place, "--json")
    run_id = json.loads(queued.stdout)["run_id"]
    wait_until(lambda: json.loads(answer(capsys, "queue", *place, "--json"))["entries"][0]["state"] == "finished")
    assert workspace.reader(run_id).summary().state == "finished"
    answer(capsys, "queue", *place, "clear")
    assert json.loads(difrob("queue", *place, "--json").stdout)["entries"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nonsense"], "unknown job kind 'nonsense'"),
        (["run"], "which kind?"),
        (["run", "train_denoiser", "-p", "digits-denoisr"], "did you mean 'digits-denoiser'?"),
        (["run", "train_denoiser", "-s", "learning_rat=1"], "did you mean 'learning_rate'?"),
        (["run", "train_denoiser", "-s", "steps=-3"], "'steps' = -3"),
        (["run", "train_denoiser", "-s", "steps"], "field=value"),
        (["run", "train_denoiser", "-s", "data.dataset=mars"], "there is no data set 'mars'"),
        (["run", "train_denoiser", "--device", "cuda:77"], "no device 'cuda:77'"),
        (["run", "generate", "-s", "denoiser=gone"], "there is no run 'gone'"),
        (["run", "certify", "-p", "digits-trades"], "is for 'train_classifier'"),
        (["show", "gone"], "there is no run 'gone'"),
        (["queue", "stop", "gone"], "fits 0 entries"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, workspace: Workspace
) -> None:
    place = ["-w", str(workspace.root)]
    command = [arguments[0], *place, *arguments[1:]] if arguments[0] == "queue" else [*arguments, *place]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("difrob: ") and words in error and "Traceback" not in error


def test_a_workspace_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["run", "train_denoiser", "-w", str(tmp_path / "file")]) == 2
    assert "--workspace" in capsys.readouterr().err


def test_looking_at_a_folder_that_is_no_workspace_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "-w", str(tmp_path / "nothing")]) == 2
    assert "is not a workspace" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFROB_WORKSPACE", str(tmp_path / "chosen"))
    assert main(["queue", "--json"]) == 0
    assert (tmp_path / "chosen" / "runs").is_dir()


@pytest.mark.parametrize("kind", KINDS)
def test_fields_teach_every_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", kind, "--fields"]) == 0
    assert "seed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [[], ["run"], ["demo"], ["runs"], ["show"], ["compare"], ["queue"], ["serve"], ["gui"], ["doctor"]]
)
def test_help_is_there_for_every_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage" in text
    assert not command or "--workspace" in text


def test_doctor_says_what_it_found(tmp_path: Path) -> None:
    process = difrob("doctor", "-w", str(tmp_path / "workspace"), "--json")
    findings = {finding["subject"]: finding for finding in json.loads(process.stdout)}
    assert process.returncode == (5 if any(f["verdict"] == "missing" for f in findings.values()) else 0)
    assert findings["Python"]["verdict"] == "ok" and findings["workspace"]["verdict"] == "ok"
    assert all(finding["mend"] for finding in findings.values() if finding["verdict"] == "missing")
