"""Both sets of a measurement as an extractor sees them, and whether they are large enough for what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from difrob.errors import UserError
from difrob.jobs.measured_set import MeasuredSet
from difrob.jobs.micro_batches import sampling_pieces
from difrob.metrics.conditions import counted
from difrob.metrics.extractors import ClassifierFeatures, Extractor, Pixels, PrincipalComponents, extract, label_of
from difrob.metrics.frechet import require_enough
from difrob.metrics.inception_features import AT_ONCE, InceptionFeatures, require_channels, warning_of_few
from difrob.metrics.kernel import require_subsets
from difrob.metrics.manifolds import require_neighbours
from difrob.nets.inception import FEATURES
from difrob.nets.inception_weights import PUBLISHED_NAME, load_inception
from difrob.runs.interface import Recorder
from difrob.specs import MeasureSpec

IN_FEATURES = frozenset({"frechet", "kernel", "precision_recall", "density_coverage"})
IN_BALLS = frozenset({"precision_recall", "density_coverage"})


@dataclass(frozen=True)
class InFeatures:
    """Both sets as an extractor sees them.

    Attributes:
        generated, reference: float32 or float64 [n, d] and [N, d].
        conditions: how descriptions name sizes and features.
    """

    generated: np.ndarray
    reference: np.ndarray
    conditions: dict[str, str]


def check_sizes(spec: MeasureSpec, measured: MeasuredSet, judge: ClassifierFeatures | None) -> None:
    """Refuse sets that are too small for what is asked.

    Raises:
        UserError: naming the set, and what to do.
    """
    sizes = {"generated": len(measured), "reference": len(measured.reference)}
    if "frechet" in spec.measures:
        features = {
            "pixels": int(np.prod(measured.images.shape[1:])),
            "pca": spec.components,
            "classifier": judge.features if judge is not None else 0,
            "inception": FEATURES,
        }
        require_enough(features[spec.extractor], **sizes)
    if "kernel" in spec.measures:
        require_subsets(spec.kernel_subset, **sizes)
    if IN_BALLS & set(spec.measures):
        require_neighbours(spec.neighbours, **sizes)
    if spec.extractor == "inception":
        require_channels(measured.images.shape[3])
    if measured.held_out is not None:
        for name, images in (("training", measured.training), ("held-out", measured.held_out)):
            if len(images) < 2:
                raise UserError(f"memorisation needs at least two {name} images; '{images.name}' has {len(images)}")


def passes_of_network(spec: MeasureSpec, measured: MeasuredSet) -> int:
    """How many images go through a large network first, which the progress of the run counts."""
    asked = spec.extractor == "inception" and IN_FEATURES & set(spec.measures)
    return len(measured) + len(measured.reference) if asked else 0


def open_extractor(
    spec: MeasureSpec,
    recorder: Recorder,
    measured: MeasuredSet,
    judge: ClassifierFeatures | None,
    device: torch.device,
) -> Extractor:
    """What turns images into features; in the record, and with warnings where its numbers need them.

    Raises:
        UserError: for components that the reference images do not have, and for a file of weights that cannot be used.
    """
    extractor: Extractor
    more: dict[str, Any] = {}
    if spec.extractor == "classifier":
        assert judge is not None
        extractor = judge
    elif spec.extractor == "inception":
        extractor = _open_inception(spec, recorder, measured, device)
        file = extractor.weights
        more = {"weights": {"file": file.name, "sha256": file.sha256, "published": file.is_published}}
    elif spec.extractor == "pca":
        extractor = PrincipalComponents.of(
            measured.reference.images, spec.components, origin=_called(spec, measured), between=recorder.check_stop
        )
    else:
        height, width, channels = measured.images.shape[1:]
        extractor = Pixels((height, width, channels))
    recorder.attribute(
        "extractor",
        {
            "name": extractor.name,
            "digest": extractor.digest,
            "features": extractor.features,
            "origin": extractor.origin,
            **more,
        },
    )
    return extractor


def in_features(
    spec: MeasureSpec, recorder: Recorder, measured: MeasuredSet, extractor: Extractor, total: int
) -> InFeatures:
    """The features of both sets.

    Args:
        spec, recorder, measured: the job's.
        extractor: of :func:`open_extractor`.
        total: how many images the whole run counts, for the progress of a large network.
    """
    counts = passes_of_network(spec, measured) > 0
    size = min(spec.batch_size, AT_ONCE) if counts else spec.batch_size
    found, done = [], 0
    for images in (measured.images, measured.reference.images):

        def tell(count: int, before: int = done) -> None:
            if counts:
                recorder.progress(before + count, total, "images")

        found.append(extract(extractor, images, size, recorder.check_stop, tell))
        done += len(images)
    conditions = {
        "generated": counted(len(measured), "image"),
        "reference": _called(spec, measured),
        "features": label_of(extractor),
    }
    return InFeatures(found[0], found[1], conditions)


def _open_inception(
    spec: MeasureSpec, recorder: Recorder, measured: MeasuredSet, device: torch.device
) -> InceptionFeatures:
    assert spec.inception_path is not None
    network, weights = load_inception(Path(spec.inception_path))
    if not weights.is_published:
        recorder.note(
            f"'{weights.name}' is not, byte for byte, the published file '{PUBLISHED_NAME}'; unless it is a copy in another "
            "format, distances compare only with those of the same weights",
            "warning",
        )
    few = warning_of_few(generated=len(measured), reference=len(measured.reference))
    if few and "frechet" in spec.measures:
        recorder.note(few, "warning")
    pieces = sampling_pieces(recorder, min(spec.batch_size, AT_ONCE))
    return InceptionFeatures(network.to(device), weights, pieces)


def _called(spec: MeasureSpec, measured: MeasuredSet) -> str:
    return f"{counted(len(measured.reference), f'{spec.reference} image')} of {measured.reference.name}"
