"""Runs as they stand in a workspace, made without any work: what jobs to come are held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from difrob.data.adding import add_data_set
from difrob.runs import RunState, Workspace
from difrob.runs.datasets import DataSetRecord
from difrob.runs.recorder import RunRecorder
from difrob.specs import parse_spec


def add_images(
    workspace: Workspace, name: str, labels: np.ndarray, shape: tuple[int, int, int] = (8, 8, 1), **more: Any
) -> DataSetRecord:
    """A data set of training images [H, W, C] with these labels."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), *shape), dtype=np.uint8)
    path = workspace.root / f"{name}.npz"
    np.savez(path, image=images, label=labels)
    return add_data_set(workspace.datasets, path, name=name, **more)


def recorded(
    workspace: Workspace,
    run_id: str,
    spec: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    samples: dict[str, np.ndarray] | None = None,
    end: RunState = RunState.FINISHED,
) -> str:
    """A run that has ended with a checkpoint of this state, these facts and these samples; its id."""
    recorder = RunRecorder(workspace, run_id, parse_spec({"name": run_id, **spec}))
    for name, value in (attributes or {}).items():
        recorder.attribute(name, value)
    if samples is not None:
        recorder.samples(**samples)
    if state is not None:
        recorder.checkpoint(1, b"no weights", state)
    recorder.finish(end)
    return run_id


def a_denoiser(workspace: Workspace, run_id: str, shape: tuple[int, int, int] = (1, 8, 8), **fields: Any) -> str:
    """A denoiser of images (C, H, W) that says what it is."""
    return recorded(
        workspace, run_id, {"kind": "train_denoiser", **fields}, state={"image_shape": list(shape), "num_classes": 10},
        attributes={"blocks": ["block0", "block1"]},
    )  # fmt: skip


def a_classifier(workspace: Workspace, run_id: str, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> str:
    """A classifier of images (C, H, W)."""
    return recorded(
        workspace, run_id, {"kind": "train_classifier"}, state={"image_shape": list(shape), "num_classes": classes}
    )


def a_set(
    workspace: Workspace, run_id: str, labels: np.ndarray, shape: tuple[int, int, int] = (8, 8, 1), **more: Any
) -> str:
    """A generated set of black images [H, W, C]."""
    samples = {"images": np.zeros((len(labels), *shape), np.uint8), "label": np.asarray(labels, np.int64)}
    return recorded(workspace, run_id, {"kind": "generate", "denoiser": "gone"}, samples=samples, **more)
