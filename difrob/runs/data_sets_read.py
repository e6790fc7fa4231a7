"""The data sets that a run reads: noted by digest, and held against what it began with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from difrob.errors import UserError
from difrob.runs.datasets import DataSetRecord

DATA_SETS = "data_sets"  # the attribute that tells which ones a run has read


class DataSetsRead:
    """Opens data sets for a run.

    Args:
        find: the record of a data set; UserError when there is none of its name.
        before: what an interrupted run noted, by name.
        record: keeps what the file is to say, in the form of ``before``.
    """

    def __init__(
        self,
        find: Callable[[str], DataSetRecord],
        before: Mapping[str, Any],
        record: Callable[[dict[str, Any]], None],
    ) -> None:
        self._find = find
        self._noted: dict[str, Any] = dict(before)
        self._record = record

    def data_set(self, name: str) -> DataSetRecord:
        """The record of a data set, noted. UserError when it is missing, or not the one that the run began with."""
        record = self._find(name)
        self._require_same(record)
        if name not in self._noted:
            self._noted[name] = record.facts()
            self._record(self._noted)
        return record

    def require_unchanged(self) -> list[str]:
        """Refuse data sets that were replaced while they were read; the names of those that cannot be read any more.

        Raises:
            UserError: naming both digests.
        """
        missing = []
        for name in self._noted:
            try:
                record = self._find(name)
            except UserError:
                missing.append(name)
                continue
            self._require_same(record)
        return missing

    def _require_same(self, record: DataSetRecord) -> None:
        before = self._noted.get(record.name, {}).get("digest", record.digest)
        if before != record.digest:
            raise UserError(
                f"data set '{record.name}' is not the one that this run began with (digest {record.digest}, it was {before}); "
                "add that one again, or start a new run"
            )
