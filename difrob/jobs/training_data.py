"""What a diffusion model learns from: images or points, clean or spoiled, and what it is measured on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from difrob.data import Augmentation, ImageSet, load_split
from difrob.data.corruption import Corruption, corrupt
from difrob.data.points import PointSet
from difrob.data.toy_names import Truth, toy_splits, toy_truth
from difrob.errors import UserError
from difrob.inputs.misfits import mirrored, refuse
from difrob.runs.interface import Recorder
from difrob.specs import DataSpec, TrainDenoiserSpec
from difrob.specs.diffusion_parts import CorruptionSpec


class TrainingData(NamedTuple):
    """The data of one training.

    Attributes:
        training: what the model sees, spoiled where that was asked for.
        clean: the same images unspoiled; what generated ones are measured against.
        validation: clean held-out images or points.
        truth: the toy distribution behind points, or their support; None for images.
    """

    training: ImageSet | PointSet
    clean: ImageSet | PointSet
    validation: ImageSet | PointSet
    truth: Truth | None

    @property
    def clean_images(self) -> np.ndarray:
        """Pixels of the clean training images, uint8 [N,H,W,C]; not for points."""
        assert isinstance(self.clean, ImageSet)
        return self.clean.images


def training_data(spec: TrainDenoiserSpec, recorder: Recorder) -> TrainingData:
    """Read the data of a training and spoil them as asked; what was done is recorded as the fact ``corruption``.

    Raises:
        UserError: for an unknown data set, or a corruption or flips that do not fit it.
    """
    truth = toy_truth(spec.data.dataset)
    clean: ImageSet | PointSet
    validation: ImageSet | PointSet
    if truth is not None:
        refuse(mirrored(recorder.data_set(spec.data.dataset), spec.flips))
        clean, validation = toy_splits(spec.data, truth)
    else:
        if spec.flips:
            Augmentation(flips=True).check_fit(recorder.data_set(spec.data.dataset))
        clean = load_split(recorder, spec.data, "train")
        validation = load_split(recorder, spec.data, "validation")
    if spec.corruption.kind == "none":
        return TrainingData(clean, clean, validation, truth)
    spoiled = corrupt(clean, _corruption(spec.corruption), _outliers(spec.corruption, recorder))
    recorder.attribute("corruption", spoiled.record)
    return TrainingData(spoiled.data, clean, validation, truth)


def _corruption(spec: CorruptionSpec) -> Corruption:
    assert spec.kind != "none"
    return Corruption(spec.kind, spec.share, spec.sigma, spec.patch, spec.fill, spec.clip, spec.seed)


def _outliers(spec: CorruptionSpec, recorder: Recorder) -> ImageSet | PointSet | None:
    if spec.kind != "outliers":
        return None
    if not spec.outliers:
        raise UserError("corruption.outliers must name the data set that outliers are taken from")
    data = DataSpec(dataset=spec.outliers)
    truth = toy_truth(spec.outliers)
    return load_split(recorder, data, "train") if truth is None else toy_splits(data, truth)[0]
