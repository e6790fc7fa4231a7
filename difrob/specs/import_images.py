"""Specification of ``import_images``: labelled images from files become a run, like a generated set."""

from __future__ import annotations

from typing import Literal

from difrob.specs.base import JobSpec, parameter
from difrob.specs.takes import LABELLED_IMAGES, path_of


class ImportImagesSpec(JobSpec):
    """Read labelled images that were made elsewhere, e.g. the released .npz files of Wang et al. 2023."""

    noun = "Imported set"
    title = "Import labelled images"
    summary = "A set made elsewhere (.npz, HDF5, or a folder of pictures per class) becomes a run to train with."

    icon = "import"
    place = 90
    job = "difrob.jobs.import_images:run"
    holds = LABELLED_IMAGES

    kind: Literal["import_images"] = "import_images"
    paths: tuple[str, ...] = parameter(
        ..., "Files or folders, read one after the other as one set: .npz or HDF5 with 'image' and 'label', the .h5 of a "
        "generated run, folders of pictures per class, or any format of 'difrob data add'.", group="Inputs",
        takes=path_of(".npz", ".npy", ".h5", ".hdf5", ".zip"), min_length=1, max_length=100,
    )  # fmt: skip
    format: Literal["auto", "arrays", "folders", "idx", "cifar", "svhn", "hdf5"] = parameter(
        "auto", "Format of the files; auto looks.", group="Inputs", advanced=True
    )
    split: str = parameter(
        "train", "Which split, where the files have several.", group="Inputs", advanced=True, max_length=64
    )
    images: int | None = parameter(
        None, "Only the first so many.", unit="images", group="Inputs", empty_means="all",
        other_names=("n_images", "num_samples"), ge=1,
    )  # fmt: skip
