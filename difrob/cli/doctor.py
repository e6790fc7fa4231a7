"""``difrob doctor``: what works here, what is missing, and the exact command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import typer
from rich.markup import escape

from difrob import words
from difrob.cli.common import EXIT_DOCTOR, JsonOption, WorkspaceOption, console, open_workspace, print_json
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.specs import KINDS
from difrob.system import FONT_PACKAGE, has_display, has_font, install_command, missing_qt_libraries, pip_command

Verdict = Literal["ok", "note", "missing"]
ENGINE_PACKAGES = ("torch", "diffusers", "h5py", "numpy", "scipy", "scikit-learn", "pydantic", "safetensors", "psutil")
WINDOW_PACKAGES = ("PySide6-Essentials", "pyqtgraph")
LOW_DISK = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``mend`` is the exact command, empty where nothing is to be done."""

    subject: str
    verdict: Verdict
    text: str
    mend: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(workspace_folder: WorkspaceOption = None, as_json: JsonOption = False) -> int:
    """Look at Python, packages, device, Qt and the workspace; say what is missing and the command that mends it."""
    findings = [python_finding(), *package_findings(), *kind_findings(), *device_findings(), *window_findings()]
    findings += workspace_findings(workspace_folder)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok[/green]     ", "note": "[yellow]note[/yellow]   ", "missing": "[red]missing[/red]"}
        for finding in findings:
            console.print(
                f"{marks[finding.verdict]}  [bold]{finding.subject}[/bold]: {escape(finding.text)}", soft_wrap=True
            )
            if finding.mend:
                console.print(f"         mend: [cyan]{escape(finding.mend)}[/cyan]", soft_wrap=True)
    return EXIT_DOCTOR if any(finding.verdict == "missing" for finding in findings) else 0


def python_finding() -> Finding:
    """The interpreter."""
    text = f"{platform.python_version()} on {platform.platform()} ({sys.executable})"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "missing", f"{text}; difrob needs 3.11 to 3.13", "python3.12 -m venv .venv")
    return Finding("Python", "ok", text)


def package_findings() -> list[Finding]:
    """Installed versions of what the engine and the window need."""
    findings = []
    looked_for: list[tuple[tuple[str, ...], str, Verdict]] = [
        (ENGINE_PACKAGES, "engine packages", "missing"),
        (WINDOW_PACKAGES, "window packages", "note"),
    ]
    for packages, subject, verdict in looked_for:
        found, missing = [], []
        for package in packages:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                missing.append(package)
        if missing:
            text = f"not installed: {', '.join(missing)}"
            findings.append(Finding(subject, verdict, text, pip_command(missing)))
        else:
            findings.append(Finding(subject, "ok", ", ".join(found)))
    return findings


def kind_findings() -> list[Finding]:
    """Kinds of job that other packages bring: those that can be used, and why others cannot."""
    findings = []
    for kind in KINDS.outside:
        if kind.spec is None:
            mend = f"{sys.executable} -m pip install --upgrade {kind.package.split()[0]}"
            findings.append(Finding("kind", "note", kind.problem, mend))
        else:
            findings.append(
                Finding("kind", "ok", f"'{kind.kind}' of package {kind.package}: {words.kind_title(kind.kind)}")
            )
    return findings


def device_findings() -> list[Finding]:
    """Devices that torch can use, asked in a fresh process because a broken driver may take the process with it."""
    script = (
        "import torch; print(torch.get_num_threads(), torch.cuda.device_count(), torch.backends.mps.is_available(), sep=';');"
        "print(*[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())], sep=';')"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
        mend = f"{sys.executable} -m pip install --force-reinstall torch"
        return [Finding("torch", "missing", f"cannot be imported: {reason}", mend)]
    first, second, *_ = [*process.stdout.splitlines(), ""]
    threads, cuda, mps = first.split(";")
    findings = [Finding("CPU", "ok", f"{os.cpu_count()} cores, torch uses {threads} threads")]
    if int(cuda):
        findings.append(Finding("CUDA", "ok", second.replace(";", ", ")))
    elif shutil.which("nvidia-smi"):
        mend = f"{sys.executable} -m pip install --force-reinstall torch"
        findings.append(Finding("CUDA", "note", "there is an NVIDIA driver, but this torch has no CUDA", mend))
    else:
        findings.append(Finding("CUDA", "ok", "no NVIDIA driver here; runs use the CPU"))
    if mps == "True":
        findings.append(Finding("MPS", "ok", "available"))
    if int(cuda) and importlib.util.find_spec("pynvml") is None:
        mend = pip_command(["nvidia-ml-py"])
        findings.append(Finding("GPU meters", "note", "nvidia-ml-py is not installed, so the GPU has no lane", mend))
    return findings


def window_findings() -> list[Finding]:
    """Whether Qt can start, and whether there is a display for it."""
    if importlib.util.find_spec("PySide6") is None:
        return [Finding("Qt", "note", "not installed; the command line works without it")]
    findings = []
    missing = missing_qt_libraries(for_window=False)
    if missing:
        text = f"system libraries are missing: {', '.join(library.file for library in missing)}"
        findings.append(Finding("Qt", "missing", text, install_command([library.package for library in missing])))
    else:
        findings.append(_try_qt())
    if not has_font():
        findings.append(Finding("fonts", "missing", "no font is installed; text would be empty boxes",
                                install_command([FONT_PACKAGE])))  # fmt: skip
    if has_display():
        missing = missing_qt_libraries(for_window=True)
        if missing:
            text = f"a window also needs {', '.join(library.file for library in missing)}"
            findings.append(
                Finding("display", "missing", text, install_command([library.package for library in missing]))
            )
        else:
            findings.append(
                Finding("display", "ok", os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "yes")
            )
    else:
        findings.append(
            Finding("display", "note", "none here; 'difrob demo --headless' and all commands but 'gui' work")
        )
    return findings


def _try_qt() -> Finding:
    script = "from PySide6.QtWidgets import QApplication; QApplication([])"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        mend = pip_command(WINDOW_PACKAGES).replace("install", "install --force-reinstall", 1)
        return Finding("Qt", "missing", f"does not start: {reason}", mend)
    return Finding("Qt", "ok", "starts")


def _counted_runs(workspace: Workspace) -> str:
    """``12 runs``, ``11 runs and 1 copy``."""
    runs = workspace.summaries()
    copies = sum(1 for run in runs if run.copy_of)
    text = f"{len(runs) - copies} runs"
    return f"{text} and {copies} {'copy' if copies == 1 else 'copies'}" if copies else text


def workspace_findings(folder: Path | None) -> list[Finding]:
    """Whether the workspace can be written, how much room it has, whether a supervisor serves it."""
    from difrob.worker.transport import Connection, NoSupervisor, ServedElsewhere

    try:
        workspace = open_workspace(folder)
        workspace.require_writable()
    except UserError as error:
        return [Finding("workspace", "missing", str(error), "difrob doctor --workspace DIR")]
    free = shutil.disk_usage(workspace.root).free
    text = f"{workspace.root}, {free / 1e9:.1f} GB free, {_counted_runs(workspace)}"
    findings = [Finding("workspace", "note" if free < LOW_DISK else "ok", text)]
    try:
        with Connection(workspace) as connection:
            state = connection.call("state")
            findings.append(
                Finding("supervisor", "ok", f"runs (process {state['pid']}), lanes {', '.join(state['lanes'])}")
            )
    except ServedElsewhere as elsewhere:
        findings.append(Finding("supervisor", "note", str(elsewhere)))
    except NoSupervisor:
        findings.append(Finding("supervisor", "ok", "none runs just now; one starts when it is needed"))
    return findings
