"""What only lists or explains starts light: no library of numbers, files or networks is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from support.recorded_runs import recording

from difrob import __version__
from difrob.cli import COMMANDS, main
from difrob.cli.late_commands import LateCommand, commands_in
from difrob.cli.runs import CARE
from difrob.runs import RunState, Workspace

HEAVY = {"numpy", "scipy", "h5py", "torch", "sklearn", "diffusers", "PIL", "PySide6"}

SCRIPT = """
import json, sys
from difrob.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    code = main(arguments)
    found.append([arguments, code, sorted({name.partition(".")[0] for name in sys.modules})])
print("\\n" + json.dumps(found))
"""


def heavy_after(*commands: list[str]) -> dict[str, list[str]]:
    """What of the heavy has been imported after each of some commands, run one after another in a fresh process."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)], capture_output=True, text=True, timeout=100
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.splitlines()[-1])
    assert [code for _, code, _ in found] == [0] * len(commands), process.stdout
    return {" ".join(arguments): sorted(HEAVY & set(modules)) for arguments, _, modules in found}


@pytest.fixture
def listed(tmp_path: Path) -> Workspace:
    """A workspace with an ended run that the index knows."""
    workspace = Workspace(tmp_path / "listed")
    with recording(workspace) as run:
        run.metric("loss", 1, 0.5)
        run.finish(RunState.FINISHED)
    workspace.summaries()
    return workspace


def test_explanations_import_nothing_heavy() -> None:
    helps = [[*words, "--help"] for words in ([], *([name] for name in COMMANDS), *(["runs", name] for name in CARE))]
    found = heavy_after(["--version"], *helps, ["run", "certify", "--fields"], ["run", "generate", "--presets"])
    assert not {command: heavy for command, heavy in found.items() if heavy}


def test_lists_import_nothing_heavy(listed: Workspace) -> None:
    place = ["--workspace", str(listed.root)]
    commands = [["runs"], ["runs", "--kind", "train_denoiser"], ["queue"], ["data"], ["study", "list"]]
    found = heavy_after(*([*command, *place] for command in commands))
    assert not {command: heavy for command, heavy in found.items() if heavy}


def test_a_run_that_the_index_does_not_know_is_read_from_its_file(listed: Workspace) -> None:
    listed.database.unlink()
    (found,) = heavy_after(["runs", "--workspace", str(listed.root)]).values()
    assert {"h5py", "numpy"} <= set(found) and not {"torch", "scipy"} & set(found)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"difrob {__version__}\n"


@pytest.mark.parametrize("commands", [COMMANDS, CARE], ids=["difrob", "difrob runs"])
def test_the_line_of_a_command_is_how_its_own_help_begins(commands: dict[str, LateCommand]) -> None:
    for name, command in commands.items():
        own = commands_in(command.module)[name]
        assert " ".join((own.help or "").split("\n\n")[0].split()) == command.line, name


@pytest.mark.parametrize("commands", [COMMANDS, CARE], ids=["difrob", "difrob runs"])
def test_every_command_that_a_module_registers_is_listed(commands: dict[str, LateCommand]) -> None:
    modules = {command.module for command in commands.values()}
    registered = {name: module for module in modules for name in commands_in(module)}
    assert registered == {name: command.module for name, command in commands.items()}


def test_every_module_of_commands_is_listed() -> None:
    package = import_module("difrob.cli")
    names = [path.stem for path in Path(str(package.__file__)).parent.glob("*.py")]
    registering = {f"difrob.cli.{name}" for name in names if hasattr(import_module(f"difrob.cli.{name}"), "register")}
    assert registering == {command.module for command in (*COMMANDS.values(), *CARE.values())}


def test_a_slip_in_a_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"]) == 2 and "Did you mean 'run'" in capsys.readouterr().err
    assert main(["runs", "chekc"]) == 2 and "Did you mean 'check'" in capsys.readouterr().err
