"""Which field of which form takes a data set."""

from __future__ import annotations

from difrob.runs.datasets import DataSetRecord
from difrob.specs import KINDS, walk_fields
from difrob.specs.takes import data_set_use


def field_for(record: DataSetRecord | None, chosen: str) -> tuple[str, str]:
    """The first field that takes a data set: of the chosen kind of job, or else of any; (kind, dotted path)."""
    fields = ((kind, path, data_set_use(info)) for kind in (chosen, *KINDS) for path, info in walk_fields(KINDS[kind]))
    return next((kind, path) for kind, path, use in fields if use and not (record and record.unfit_for(use)))
