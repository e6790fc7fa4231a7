"""What the text of a field names: a run that holds something, a path of files, or a data set that is fit for something."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from pydantic.fields import FieldInfo

# What a run can hold that other runs read. A package may bring a kind of run that holds something else, under its own word.
CLASSIFIER, DENOISER, LABELLED_IMAGES = "classifier", "denoiser", "labelled images"

# images: with something to learn from. corruptions: the same test images under corruptions in all severities.
DataSetUse = Literal["images", "images or points", "corruptions"]


class Takes(NamedTuple):
    """What a field names. ``of`` tells more: what the run holds, how such files end, what the data set is fit for."""

    what: Literal["run", "path", "data set"]
    of: tuple[str, ...]


def run_holding(held: str) -> Takes:
    """The id of a run that holds this, e.g. :data:`CLASSIFIER`; see :attr:`difrob.specs.base.JobSpec.holds`."""
    return Takes("run", (held,))


def path_of(*endings: str) -> Takes:
    """The path of a file or folder, or a list of them; ``endings`` are usual for such files, e.g. ``.npz``."""
    return Takes("path", endings)


def data_set_of(use: DataSetUse) -> Takes:
    """The name of a data set of the workspace that is fit for this use."""
    return Takes("data set", (use,))


def takes_of(info: FieldInfo) -> Takes | None:
    """What a field names; None for one that is only a value."""
    extra = info.json_schema_extra
    return cast("Takes | None", extra.get("takes")) if isinstance(extra, dict) else None


def takes_path(info: FieldInfo) -> bool:
    """Whether a field names files or folders."""
    takes = takes_of(info)
    return takes is not None and takes.what == "path"


def held_by(info: FieldInfo) -> str:
    """What the run must hold that a field names; empty for a field that names no run."""
    takes = takes_of(info)
    return takes.of[0] if takes is not None and takes.what == "run" else ""


def data_set_use(info: FieldInfo) -> DataSetUse | None:
    """What the data set must be fit for that a field names; None for a field that names none."""
    takes = takes_of(info)
    return cast(DataSetUse, takes.of[0]) if takes is not None and takes.what == "data set" else None
