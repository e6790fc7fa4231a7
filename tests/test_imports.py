"""Arrows go down only: the engine lives without Qt, the window without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BLOCK = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
count = 0
for package in {packages!r}:
    module = importlib.import_module(package)
    count += 1
    for info in pkgutil.walk_packages(module.__path__, package + "."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
            count += 1
assert not set({blocked!r}) & set(sys.modules), "imported all the same"
print(count)
"""


def import_everything(packages: list[str], blocked: list[str]) -> int:
    script = BLOCK.format(packages=packages, blocked=blocked)
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return int(process.stdout)


def imported_names(path: Path) -> list[str]:
    """All modules that a file imports, in functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def test_the_engine_imports_with_qt_blocked() -> None:
    assert import_everything(["difrob"], ["PySide6", "shiboken6", "pyqtgraph"]) > 50


def test_the_window_imports_with_torch_blocked() -> None:
    pytest.importorskip("PySide6")
    assert import_everything(["difrob_gui", "difrob.studies"], ["torch", "diffusers", "sklearn"]) > 20


WINDOW_MAY_KNOW = {
    "quantities",
    "specs",
    "inputs",
    "runs",
    "worker",
    "errors",
    "resources",
    "words",
    "comparison",
    "system",
    "signals",
    "studies",
}


def test_the_window_knows_only_what_it_shows() -> None:
    offences = []
    for path in (ROOT / "difrob_gui").rglob("*.py"):
        for name in imported_names(path):
            parts = name.split(".")
            in_worker = parts[:2] == ["difrob", "worker"] and name != "difrob.worker.messages"
            if parts[0] == "difrob" and len(parts) > 1 and (parts[1] not in WINDOW_MAY_KNOW or in_worker):
                offences.append(f"{path.name}: {name}")
    assert not offences


def test_the_supervisor_imports_no_torch() -> None:
    script = "import sys, difrob.worker.supervisor, difrob.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_recorders_of_a_shared_run_and_their_meeting_import_no_torch() -> None:
    modules = ", ".join(
        f"difrob.ranks.{name}" for name in ("leading_recorder", "following_recorder", "orders", "meeting")
    )
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


TOOLS = {"errors", "json_files", "quantities", "randomness", "memory", "ranks"}
LAYERS = {
    "quantities": set(),
    "specs": {"errors", "quantities", "resources"},
    "runs": {"specs", "quantities", "errors", "json_files"},
    "inputs": {"runs", "specs", "errors"},
    "ranks": {"runs", "errors"},
    "foreign": {"errors"},
    "studies": {"runs", "specs", "quantities", "errors", "json_files", "resources"},
    "data": {"foreign", "inputs", "runs", "specs"} | TOOLS,
    "nets": {"data", "foreign", "inputs", "runs", "specs"} | TOOLS,
    "diffusion": {"nets", "data", "foreign", "inputs", "runs", "specs"} | TOOLS,
    "attacks": {"nets", "data", "inputs", "runs", "specs"} | TOOLS,
    "metrics": {"attacks", "diffusion", "nets", "data", "foreign", "inputs", "runs", "specs"} | TOOLS,
    "training": {"attacks", "diffusion", "metrics", "nets", "data", "foreign", "inputs", "runs", "specs"} | TOOLS,
    "smoothing": {"attacks", "diffusion", "metrics", "nets", "data", "inputs", "runs", "specs"} | TOOLS,
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_knows_only_what_lies_below_it(layer: str) -> None:
    offences = []
    for path in (ROOT / "difrob" / layer).rglob("*.py"):
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] == "difrob" and len(parts) > 1 and parts[1] not in LAYERS[layer] | {layer}:
                offences.append(f"{path.name}: {name}")
    assert not offences


def modules_of(root: Path) -> dict[str, Path]:
    """The files of both packages by the names under which they are imported."""
    named: dict[str, Path] = {}
    for package in ("difrob", "difrob_gui"):
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def who_imports_whom(root: Path) -> dict[str, set[str]]:
    """For every module, the modules that its text imports: in functions and for type checkers too."""
    modules = modules_of(root)
    arrows: dict[str, set[str]] = {}
    for name, path in modules.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= {module if module in modules else str(node.module) for module in below}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
        arrows[name] = (imported & modules.keys()) - {name}
    return arrows


def circles(arrows: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of modules of which each imports, over however many others, every other one."""

    def reached_from(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = arrows[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    reached = {module: reached_from(module) for module in arrows}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in arrows}
    return groups - {frozenset()}


def test_modules_do_not_import_each_other() -> None:
    assert circles(who_imports_whom(ROOT)) == set()


def test_circles_are_seen_wherever_the_import_stands(tmp_path: Path) -> None:
    texts = {
        "difrob/__init__.py": "from difrob.alone import thing\n",
        "difrob/alone.py": "import json\n",
        "difrob/top.py": "from difrob import lazy\n",
        "difrob/lazy.py": "def later():\n    from difrob.typed import Name\n",
        "difrob/typed.py": "if TYPE_CHECKING:\n    import difrob.top\n",
        "difrob_gui/below/__init__.py": "from difrob_gui.below.part import Part\n",
        "difrob_gui/below/part.py": "from difrob_gui.below import Other\nfrom difrob.top import Top\n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert circles(who_imports_whom(tmp_path)) == {
        frozenset({"difrob.top", "difrob.lazy", "difrob.typed"}),
        frozenset({"difrob_gui.below", "difrob_gui.below.part"}),
    }


def test_no_torchvision_anywhere() -> None:
    files = [*(ROOT / "difrob").rglob("*.py"), *(ROOT / "difrob_gui").rglob("*.py")]
    assert not [path for path in files if "import torchvision" in path.read_text()]


def test_an_installed_copy_has_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("difrob", "difrob_gui")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert there == set(listed) - {"difrob._resources"}


def test_tests_lie_where_lies_what_they_test() -> None:
    folders = [path for package in ("difrob", "difrob_gui") for path in (ROOT / "tests" / package).rglob("*/")]
    names = [folder.relative_to(ROOT / "tests") for folder in folders if any(folder.glob("test_*.py"))]
    assert names and not [name for name in names if not (ROOT / name).is_dir() and not (ROOT / f"{name}.py").is_file()]
