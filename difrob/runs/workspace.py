"""A workspace: the folder that holds runs, data sets and the queue."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difrob.errors import UserError
from difrob.runs.datasets import DataSetRecord, DataSets
from difrob.runs.index import RunIndex
from difrob.runs.locks import is_locked
from difrob.runs.records import RunSummary

if TYPE_CHECKING:
    from difrob.runs.feed import RunFeed
    from difrob.runs.reader import RunReader
    from difrob.specs import JobSpec

ENVIRONMENT = "DIFROB_WORKSPACE"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


def default_workspace() -> Path:
    """``DIFROB_WORKSPACE``, else the user's data folder."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("difrob", appauthor=False)) / "workspace"


def new_run_id(kind: str, name: str = "") -> str:
    """A fresh run id: UTC time, a slug of the name (or kind), and six random hexadecimal digits."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    slug = re.sub(r"[^a-z0-9]+", "-", (name or kind).lower()).strip("-")[:40] or kind
    return f"{moment}-{slug}-{secrets.token_hex(3)}"


class Workspace:
    """Runs under one root folder."""

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        """Open a workspace, creating its folders when they are missing.

        Raises:
            UserError: when the folder cannot be created or is not a folder.
        """
        try:
            self.root = Path(root).expanduser().absolute()
        except RuntimeError as error:
            raise UserError(f"cannot tell which folder '{root}' is: {error}") from None
        try:
            if create:
                self.runs_folder.mkdir(parents=True, exist_ok=True)
            elif not self.runs_folder.is_dir():
                raise UserError(f"'{self.root}' is not a workspace (no folder 'runs' in it); give another --workspace")
        except OSError as error:
            raise UserError(
                f"cannot make a workspace at '{self.root}': {error.strerror}; "
                f"give another folder with --workspace or {ENVIRONMENT}"
            ) from None
        self._index = RunIndex(self.database)

    @property
    def runs_folder(self) -> Path:
        """Where run files lie."""
        return self.root / "runs"

    @property
    def datasets(self) -> DataSets:
        """The registered data sets."""
        return DataSets(self.root / "datasets")

    def data_sets(self) -> list[DataSetRecord]:
        """All data sets that a specification may name: built-in ones, then the registered ones by name."""
        return self.datasets.all()

    def data_set(self, name: str) -> DataSetRecord:
        """The record of a data set. Raises UserError when there is none of that name, naming those that there are."""
        return self.datasets.get(name)

    def require_data_of(self, spec: JobSpec, record_of: Callable[[str], DataSetRecord] | None = None) -> None:
        """Raise UserError when a specification names a data set that there is not, or that is none for what it is to do,
        such as corrupted test images to train on; for asking before a run is queued.

        Args:
            spec: of the run that is to be.
            record_of: what gives the record of a data set where those have been read already; as :meth:`data_set`.
        """
        from difrob.specs import value_at, walk_fields
        from difrob.specs.takes import data_set_use

        for path, info in walk_fields(type(spec)):
            if (use := data_set_use(info)) and (name := value_at(spec, path)):
                (record_of or self.data_set)(name).require_fit_for(use)

    def remove_data_set(self, name: str, waiting: Iterable[JobSpec] = ()) -> Path:
        """Move a data set into the workspace's bin and return where it lies now; see :meth:`DataSets.remove`.

        Args:
            name: of the set.
            waiting: specifications in the queue, which the workspace does not know.

        Raises:
            UserError: also while live runs or waiting ones need it.
        """
        users = data_set_users(name, self.summaries(), waiting)
        if users:
            raise UserError(
                f"data set '{name}' is needed by {len(users)} live or waiting run(s), e.g. '{users[0]}'; wait for them, "
                "or stop them and take them out of the queue"
            )
        return self.datasets.remove(name, self.bin_folder)

    @property
    def database(self) -> Path:
        """The SQLite file with the queue and the index of runs."""
        return self.root / "workspace.db"

    @property
    def socket_path(self) -> str:
        """The supervisor's socket: in the user's private runtime folder, named after the workspace.

        A socket's path may have about 100 bytes only, so it cannot lie in the workspace itself.
        """
        key = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:16]
        if os.name == "nt":  # pragma: no cover - exercised on Windows only
            return rf"\\.\pipe\difrob-{key}"
        return str(_runtime_folder() / f"{key}.sock")

    def require_writable(self) -> None:
        """Raise UserError when nothing can be written here (read-only or full disk)."""
        try:
            with tempfile.TemporaryFile(dir=self.runs_folder) as file:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write into the workspace '{self.root}': {error.strerror}; "
                "free some room, or give another folder with --workspace"
            ) from None

    def run_path(self, run_id: str) -> Path:
        """The HDF5 file of a run.

        Raises:
            UserError: for an id that is no plain file name, or a file that is a link out of the workspace.
        """
        if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id) or ".." in run_id:
            raise UserError(f"'{run_id}' is not a run id")
        return _no_link(self.runs_folder / f"{run_id}.h5")

    def journal_path(self, run_id: str) -> Path:
        """The journal of a run, there only while it lives (or until it is recovered)."""
        return _no_link(self.run_path(run_id).with_suffix(".journal"))

    def output_path(self, run_id: str) -> Path:
        """What the worker process printed, kept for the case that it died without a word."""
        return _no_link(self.run_path(run_id).with_suffix(".output"))

    def reader(self, run_id: str) -> RunReader:
        """A reader of a run. Raises UserError when there is no such run."""
        path, journal = self.run_path(run_id), self.journal_path(run_id)
        if not path.exists() and not journal.exists():
            raise UserError(f"there is no run '{run_id}' in '{self.root}'; 'difrob runs' lists them")
        from difrob.runs.reader import RunReader  # needs h5py, for which a mere list of runs need not wait

        return RunReader(run_id, path, journal)

    def feed(self, run_id: str) -> RunFeed:
        """A feed of a run, for following it."""
        from difrob.runs.feed import RunFeed  # needs h5py, for which a mere list of runs need not wait

        return RunFeed(self.reader(run_id))

    def find(self, text: str) -> str:
        """The id of the run whose id is ``text``, else of the one with that name, else of the one whose id begins or ends
        with it. A copy of another run's file goes by its id alone.

        Raises:
            UserError: when nothing fits, or several runs do.
        """
        summaries = self.summaries()
        if any(summary.run_id == text for summary in summaries):
            return text
        named = [s.run_id for s in summaries if s.name == text and not s.copy_of]
        if len(named) > 1:
            more = ", ..." if len(named) > 5 else ""
            raise UserError(f"{len(named)} runs are called '{text}': {', '.join(named[:5])}{more}; name one by its id")
        if named:
            return named[0]
        parts = [s.run_id for s in summaries if text and (s.run_id.startswith(text) or s.run_id.endswith(text))]
        if len(parts) == 1:
            return parts[0]
        if parts:
            raise UserError(f"'{text}' fits {len(parts)} runs: {', '.join(parts[:5])}")
        raise UserError(f"there is no run '{text}' in '{self.root}'; 'difrob runs' lists them")

    def summaries(self, within: float | None = None) -> list[RunSummary]:
        """All runs, newest first. Cheap when little has changed; safe to call from several processes."""
        return self._index.summaries(self.runs_folder, within)

    @property
    def unlisted_runs(self) -> int:
        """Runs that the last call of :meth:`summaries` had no time to look at."""
        return self._index.left

    def remove_run(self, run_id: str) -> Path:
        """Move a run's files into the workspace's bin and return where its file lies now.

        Raises:
            UserError: for an unknown run, one that is being written, or a bin that cannot be written.
        """
        summary = self.reader(run_id).summary()
        if summary.state.is_live or is_locked(self.journal_path(run_id)):
            raise UserError(f"run '{run_id}' is {summary.state} and being written; stop it first")
        self._move(run_id, self.runs_folder, self.bin_folder)
        return self.bin_folder / self.run_path(run_id).name

    def binned_runs(self) -> list[str]:
        """The ids of the runs in the bin."""
        if not self.bin_folder.is_dir():
            return []
        return sorted({path.stem for path in self.bin_folder.iterdir() if path.suffix in (".h5", ".journal")})

    def restore_run(self, run_id: str) -> None:
        """Take a run back out of the bin.

        Raises:
            UserError: when the bin has no such run, or there is one of that id again.
        """
        paths = self._paths(run_id)
        if not any((self.bin_folder / path.name).exists() for path in paths):
            raise UserError(f"there is no run '{run_id}' in the bin '{self.bin_folder}'")
        if any(path.exists() for path in paths):
            raise UserError(f"there is a run '{run_id}' again; move it away first")
        self._move(run_id, self.bin_folder, self.runs_folder)

    @property
    def bin_folder(self) -> Path:
        """Where the files of removed runs lie."""
        return self.root / "bin"

    def _paths(self, run_id: str) -> list[Path]:
        return [self.run_path(run_id), self.journal_path(run_id), self.output_path(run_id)]

    def _move(self, run_id: str, source: Path, target: Path) -> None:
        try:
            target.mkdir(exist_ok=True)
            for path in self._paths(run_id):
                if (source / path.name).exists():
                    (source / path.name).replace(target / path.name)
        except OSError as error:
            raise UserError(f"run '{run_id}' cannot be moved to '{target}': {error.strerror}") from None


def _no_link(path: Path) -> Path:
    """A file of a run that is a link is refused: writing the run would write wherever it leads."""
    if path.is_symlink():
        raise UserError(f"'{path}' is a link to another place, which is not followed; put the file itself there")
    return path


def data_set_users(name: str, summaries: list[RunSummary], waiting: Iterable[JobSpec] = ()) -> list[str]:
    """What needs a data set: live runs (by id) and waiting specifications (by name or kind).

    A specification needs the set that it names, and those of the runs that it builds on.
    """
    from difrob.specs import KINDS, input_runs, walk_fields
    from difrob.specs.takes import data_set_use

    fields = {kind: [path for path, info in walk_fields(spec) if data_set_use(info)] for kind, spec in KINDS.items()}
    every_field = set().union(*fields.values())  # those of a kind that this difrob does not know may be called alike

    def names_it(spec: dict[str, Any]) -> bool:
        return any(_value_in(spec, path) == name for path in fields.get(str(spec.get("kind")), every_field))

    children: dict[str, list[str]] = {}
    for summary in summaries:
        for parent in summary.parents.values():
            children.setdefault(parent, []).append(summary.run_id)
    ahead = [summary.run_id for summary in summaries if names_it(summary.spec)]
    readers = set(ahead)
    while ahead:  # each run once, however many ways lead to it
        new = [child for child in children.get(ahead.pop(), ()) if child not in readers]
        readers.update(new)
        ahead += new
    live = [summary.run_id for summary in summaries if summary.state.is_live and summary.run_id in readers]
    specs = [s for s in waiting if names_it(s.model_dump(mode="json")) or readers & set(input_runs(s).values())]
    return live + [spec.name or spec.kind for spec in specs]


def _value_in(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _runtime_folder() -> Path:
    """A folder of this user alone, mode 0700."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = (
        Path(base) / "difrob" if base and os.path.isdir(base) else Path(tempfile.gettempdir()) / f"difrob-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise UserError(f"cannot make the folder '{folder}' for sockets: {error.strerror}") from None
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UserError(
            f"'{folder}' is not private to you (owner {status.st_uid}, mode {status.st_mode & 0o777:o}); "
            f"remove it or run 'chmod 700 {folder}'"
        )
    return folder
