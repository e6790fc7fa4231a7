"""Jobs of every kind that reads something, each with an input that changes: a workspace before, and one after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.cut_off import stopped
from support.small_classifiers import small_classifier

from difrob.data.adding import add_data_set
from difrob.runs import RunState, Workspace
from difrob.specs import (
    AnalyseSpec,
    CertifySpec,
    EvaluateSpec,
    GenerateSpec,
    ImportImagesSpec,
    JobSpec,
    MeasureSpec,
    ProbeTeacherSpec,
    TrainDenoiserSpec,
    parse_spec,
)
from difrob.worker.execution import execute

CLASSIFIER = small_classifier(40, checkpoint_every=10, validate_every=40)
DENOISER = TrainDenoiserSpec(
    data={"train_size": 60}, network={"width": 16, "blocks": 1}, steps=40, batch_size=16, checkpoint_every=10, sample_every=0,
    class_conditional=True,
)  # fmt: skip
SET = GenerateSpec(denoiser="model", images=40, batch_size=8, sampling_steps=2)
EVALUATION = EvaluateSpec(
    classifier="classifier", weights="last", split="validation", images=40, attack={"steps": 2}, batch_size=8,
    sanity_checks=False,
)  # fmt: skip
DATA, FILE = "pictures", "pictures.npz"


@dataclass(frozen=True)
class Changing:
    """A job and the input that changes while it is interrupted.

    Attributes:
        spec: of the job, for a workspace in this folder.
        changing: the run that goes on, the data set (:data:`DATA`), or the file (:data:`FILE`) that is replaced.
        after: the progress at which tests kill it.
        needs: finished runs that it reads besides.
    """

    spec: Callable[[Path], JobSpec]
    changing: str
    after: int
    needs: tuple[str, ...] = ()


def _always(spec: JobSpec) -> Callable[[Path], JobSpec]:
    return lambda root: spec


def _judged() -> GenerateSpec:
    chosen = SET.selection.model_copy(update={"judge": "classifier"})
    return SET.model_copy(update={"labels": "judge", "selection": chosen})


_SMOOTHED = {"split": "validation", "images": 40, "n0": 4, "n": 16, "batch_size": 20, "weights": "last"}
JOBS: dict[str, Changing] = {
    "evaluate": Changing(_always(EVALUATION), "classifier", 16),
    "certify": Changing(_always(CertifySpec(classifier="classifier", **_SMOOTHED)), "classifier", 10),
    "certify behind a denoiser": Changing(
        _always(CertifySpec(classifier="classifier", denoiser="model", **_SMOOTHED)), "model", 10, ("classifier",)
    ),
    "generate": Changing(_always(SET), "model", 16),
    "generate with a judge": Changing(_always(_judged()), "classifier", 16, ("model",)),
    "analyse": Changing(
        _always(
            AnalyseSpec(
                classifier="classifier", weights="last", measures=("rank",), images=40, train_images=40, batch_size=8,
                attack={"steps": 1},
            )
        ),
        "classifier", 16,
    ),
    "probe_teacher": Changing(
        _always(
            ProbeTeacherSpec(denoiser="model", train_images=40, images=20, sigmas=(0.2, 0.4), attack={"steps": 1})
        ),
        "model", 1,
    ),
    "measure": Changing(
        _always(
            MeasureSpec(generated="set", images=16, batch_size=4, measures=("memorisation", "duplicates"), extractor="pixels")
        ),
        "set", 4, ("model",),
    ),
    "train_classifier on a generated set": Changing(
        _always(small_classifier(30, checkpoint_every=5, validate_every=30, generated="set", generated_fraction=0.5)),
        "set", 12, ("model",),
    ),
    "train_denoiser on a data set": Changing(
        _always(DENOISER.model_copy(update={"data": DENOISER.data.model_copy(update={"dataset": DATA})})), DATA, 12
    ),
    "import_images": Changing(lambda root: ImportImagesSpec(paths=(str(root / FILE),)), FILE, 4096),
}  # fmt: skip


def before(workspace: Workspace, job: Changing) -> None:
    """The inputs of a job, the one that changes as it is when the job begins."""
    for run_id in job.needs:
        _finished(workspace, run_id)
    if job.changing in (DATA, FILE):
        _pictures(workspace, job.changing, 0)
    elif job.changing == "set":
        stopped(workspace, "set", SET, 16)
    else:
        stopped(workspace, job.changing, CLASSIFIER if job.changing == "classifier" else DENOISER, 10)


def change(workspace: Workspace, job: Changing) -> None:
    """What it becomes while the job is interrupted."""
    if job.changing in (DATA, FILE):
        _pictures(workspace, job.changing, 1)
    else:
        spec = parse_spec(workspace.reader(job.changing).spec)
        assert execute(workspace, job.changing, spec, device="cpu", resume=True).state is RunState.FINISHED


def _finished(workspace: Workspace, run_id: str) -> None:
    spec = {"classifier": CLASSIFIER, "model": DENOISER}[run_id]
    assert execute(workspace, run_id, spec, device="cpu").state is RunState.FINISHED


def _pictures(workspace: Workspace, what: str, seed: int) -> None:
    path, count = workspace.root / FILE, 9000 if what == FILE else 200
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    np.savez(path, image=images, label=np.arange(count, dtype=np.int64) % 10)
    if what == DATA:
        if seed:
            workspace.remove_data_set(DATA)
        add_data_set(workspace.datasets, path, name=DATA)
