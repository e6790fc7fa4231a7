"""A package with a kind of job of its own, as somebody else would write it, put where Python finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from difrob.specs import KINDS

SPEC = """
from typing import Literal

from difrob.quantities import SHARE, Better, Quantity, declare
from difrob.specs import JobSpec, parameter
from difrob.specs.takes import data_set_of

declare(Quantity("mean_brightness", "mean brightness of the images", SHARE, Better.UP))


class BrightnessSpec(JobSpec):
    noun = "Brightness"
    title = "Measure brightness"
    summary = "How bright the images of a data set are."
    icon = "results"
    job = "brightness.job:run"

    kind: Literal["brightness"] = "brightness"
    dataset: str = parameter("digits", "Whose images.", group="Data", takes=data_set_of("images"), condition="data set")
    images: int | None = parameter(
        None, "How many of them.", unit="images", group="Data", empty_means="all", condition="images", ge=1
    )
    steps: int = parameter(5, "Parts in which they are read.", group="Data", ge=1)
"""
JOB = """
import numpy as np

from difrob.data import load_split
from difrob.runs import Measure
from difrob.specs import DataSpec


def run(spec, recorder, device):
    images = load_split(recorder, DataSpec(dataset=spec.dataset), "test").images[: spec.images] / 255
    for step, part in enumerate(np.array_split(images, spec.steps), start=1):
        recorder.check_stop()
        recorder.metric("mean_brightness", step, float(part.mean()))
        recorder.progress(step, spec.steps)
    recorder.result("mean_brightness", Measure(float(images.mean()), n=len(images)))
"""
ENTRY = "[difrob.kinds]\nbrightness = brightness.spec:BrightnessSpec\n"


def put_package(folder: Path, entry: str = ENTRY, *, spec: str = SPEC, name: str = "brightness") -> None:
    """Write the package and what an installer notes of it."""
    package, notes = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir(parents=True)
    notes.mkdir()
    (package / "__init__.py").write_text("")
    (package / "spec.py").write_text(spec)
    (package / "job.py").write_text(JOB)
    (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text(entry)


def find_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts look for kinds in a folder, too, until the test ends."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for found in ("outside", "_brought"):
        monkeypatch.delitem(vars(KINDS), found, raising=False)
        monkeypatch.setitem(vars(KINDS), found, None)  # which is taken away again at the end, whatever was found since
        vars(KINDS).pop(found)
