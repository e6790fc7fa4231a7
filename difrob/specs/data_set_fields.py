"""Which fields of specifications name a data set, and what each of them takes.

Asked by the forms of the window, which offer what fits, and by the workspace, which refuses the rest before a run begins.
"""

from __future__ import annotations

from typing import Literal

# images: with something to learn from. corruptions: the same test images under corruptions in all severities.
DataSetUse = Literal["images", "images or points", "corruptions"]

_USES: dict[str, DataSetUse] = {
    "data.dataset": "images", "corruption.outliers": "images", "corruptions": "corruptions", "dataset": "images",
}  # fmt: skip
DATA_SET_FIELDS = tuple(_USES)

POINTS_LEARNT_BY = "train_denoiser"  # the one kind that takes points of a toy distribution for images


def data_set_use(kind: str, path: str) -> DataSetUse | None:
    """What the field at a dotted path of a kind of job takes; None for a field that names no data set."""
    use = _USES.get(path)
    return "images or points" if use == "images" and kind == POINTS_LEARNT_BY else use
