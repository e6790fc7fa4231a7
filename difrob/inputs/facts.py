"""What is on record about runs that other runs are to read: image sizes, classes, blocks, labels, but no weights.

A run that has not got that far is judged by its specification, as far as that tells; what is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from difrob.errors import UserError
from difrob.runs.datasets import DataSetRecord
from difrob.runs.states import RunState
from difrob.runs.workspace import Workspace
from difrob.specs import GenerateSpec, JobSpec, TrainDenoiserSpec, parse_spec
from difrob.specs.classifier_runs import as_classifier_run
from difrob.specs.denoiser_runs import as_denoiser_run

if TYPE_CHECKING:
    import numpy as np

BLOCKS = "blocks"  # the fact in which a denoiser's run names its blocks
ImageShape = tuple[int, int, int]
Found = TypeVar("Found")


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a trained network.

    Attributes:
        data_set: what it learnt from.
        image_shape: (C, H, W).
        num_classes: K; 0 for a denoiser without classes.
        class_conditional: whether a denoiser was told the class.
        label_dropout: share of the classes that a denoiser was not told.
        blocks: names of a denoiser's blocks in order of depth.
        train_size: how many of the training images it learnt from; None for all.
        schedule_steps: how many noise levels the schedule of a denoiser has, 0 for an EDM.
    """

    data_set: str
    image_shape: ImageShape | None = None
    num_classes: int | None = None
    class_conditional: bool | None = None
    label_dropout: float = 0.0
    blocks: tuple[str, ...] | None = None
    train_size: int | None = None
    schedule_steps: int | None = None


@dataclass(frozen=True)
class SetFacts:
    """What is known of a generated set: type and shape [N, H, W, C] of its images, and its labels [N]."""

    dtype: np.dtype
    shape: tuple[int, ...]
    labels: np.ndarray


class InputFacts:
    """Looks runs and data sets of a workspace up; each fact once, however many specifications ask for it.

    Args:
        workspace: where they are.
        waiting: specifications of runs that are in the queue and have not ended, by run id.
    """

    def __init__(self, workspace: Workspace, waiting: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._workspace = workspace
        self._waiting = waiting or {}
        self._found: dict[tuple[Any, ...], Any] = {}

    def _once(self, find: Callable[..., Found], *key: Any) -> Found:
        """What ``find`` finds of a key, remembered."""
        asked = (find.__name__, *key)
        if asked not in self._found:
            self._found[asked] = find(*key)
        found: Found = self._found[asked]
        return found

    def data_set(self, name: str | None) -> DataSetRecord | None:
        """The record of a data set of images; None for one that is unknown, or holds points or corruptions alone."""
        record = self.any_data_set(name)
        return None if record is None or record.unfit_for("images") else record

    def any_data_set(self, name: str | None) -> DataSetRecord | None:
        """The record of a data set of any kind; None for an unknown one."""
        with suppress(UserError):
            return self.record(name or "")
        return None

    def record(self, name: str) -> DataSetRecord:
        """The record of a data set of any kind. Raises UserError for an unknown one, naming those that there are."""
        return self._once(self._workspace.data_set, name)

    def images_in(self, name: str, split: str, train_size: int | None = None) -> int | None:
        """How many images a split has, of the training images those of the subset; None where it is not known."""
        record = self.data_set(name)
        if record is None or split not in record.splits:
            return None
        count = record.splits[split].images
        return count if split != "train" or train_size is None else min(count, train_size)

    def missing_checkpoint(self, run_id: str | None, which: str | int = "last") -> str:
        """Why a run that has ended has no such checkpoint; "" where it has, may get it, or nothing can be told."""
        return self._once(self._missing_checkpoint, run_id, which)

    def _missing_checkpoint(self, run_id: str | None, which: str | int) -> str:
        with suppress(UserError, ValueError, KeyError, OSError):
            if not run_id or run_id in self._waiting:
                return ""
            reader = self._workspace.reader(run_id)
            summary = reader.summary()
            if not summary.state.is_end or summary.damaged or reader.journal_path.exists():
                return ""
            try:
                reader.require_checkpoint(which)
            except UserError as error:
                return str(error)
        return ""

    def set_size(self, run_id: str) -> int | None:
        """How many images a generated or imported set has, or will have at most; None where that is not known."""
        return self._once(self._set_size, run_id)

    def _set_size(self, run_id: str) -> int | None:
        with suppress(UserError, ValueError, KeyError, OSError):
            if run_id not in self._waiting:
                reader = self._workspace.reader(run_id)
                if reader.summary().state.is_end:
                    return reader.sample_count()
        spec = self.spec(run_id)
        return spec.images if isinstance(spec, GenerateSpec) else None

    def is_points(self, name: str) -> bool:
        """Whether a data set holds points of a toy distribution."""
        record = self.any_data_set(name)
        return record is not None and record.is_points

    def spec(self, run_id: str | None) -> JobSpec | None:
        """The specification of a run, waiting or on record; None where it cannot be read."""
        return self._once(self._spec, run_id) if run_id else None

    def _spec(self, run_id: str) -> JobSpec | None:
        with suppress(UserError):
            if run_id in self._waiting:
                return parse_spec(dict(self._waiting[run_id]))
            return parse_spec(self._workspace.reader(run_id).summary().spec)
        return None

    def network(self, run_id: str | None) -> NetworkFacts | None:
        """What is known of the denoiser or classifier of a run; None for a run that holds none, or cannot be read."""
        return self._once(self._network, run_id) if run_id else None

    def generated_set(self, run_id: str) -> SetFacts | None:
        """What is known of the generated or imported set of a run; None where that is nothing."""
        return self._once(self._generated_set, run_id)

    def _network(self, run_id: str) -> NetworkFacts | None:
        spec = self.spec(run_id)
        denoiser, classifier = as_denoiser_run(spec), as_classifier_run(spec)
        holder = denoiser or classifier
        if holder is None:
            return None
        record = self.data_set(holder.data.dataset)
        shape = None if record is None else record.image_shape
        classes = None if record is None else record.num_classes
        conditional, dropout, schedule_steps = None, 0.0, None
        state, attributes = self._recorded(run_id)
        is_recorded = False
        with suppress(KeyError, TypeError, ValueError):
            channels, height, width = map(int, state["image_shape"])
            shape, classes, is_recorded = (channels, height, width), int(state["num_classes"]), True
        if isinstance(spec, TrainDenoiserSpec):
            conditional, dropout = spec.class_conditional, spec.label_dropout
            classes = classes if conditional else 0
            schedule_steps = spec.time_steps if spec.parameterisation == "ddpm" else 0
        elif denoiser is not None:
            dropout = denoiser.label_dropout
            classes = classes if is_recorded else None  # a model without classes is for any number of them
            conditional = None if classes is None else classes > 0
        blocks = attributes.get(BLOCKS)
        return NetworkFacts(
            holder.data.dataset, shape, classes, conditional, dropout,
            tuple(map(str, blocks)) if isinstance(blocks, list) and blocks else None, holder.data.train_size, schedule_steps,
        )  # fmt: skip

    def _recorded(self, run_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """State of the last checkpoint and facts of a run; empty where there is no file, or not a whole one."""
        with suppress(UserError, ValueError, KeyError, OSError):
            reader = self._workspace.reader(run_id)
            return reader.checkpoint_state(), reader.attributes()
        return {}, {}

    def _generated_set(self, run_id: str) -> SetFacts | None:
        with suppress(UserError, ValueError, KeyError, OSError):
            if run_id not in self._waiting:
                reader = self._workspace.reader(run_id)
                if reader.summary().state is RunState.FINISHED:
                    dtype, shape = reader.sample_layout()["images"]
                    return SetFacts(dtype, (reader.sample_count(), *shape), reader.array("samples/label"))
        spec = self.spec(run_id)
        return self._expected_set(spec) if isinstance(spec, GenerateSpec) else None

    def _expected_set(self, spec: GenerateSpec) -> SetFacts | None:
        """The set that will be drawn: every class that has a share in it, once."""
        denoiser = self.network(spec.denoiser)
        if denoiser is None or denoiser.image_shape is None or not denoiser.num_classes or spec.labels != "condition":
            return None
        import numpy as np  # not above: a window and a listing of fields know this module, and may never ask for a set

        labels = np.arange(denoiser.num_classes)
        if len(spec.class_weights) == denoiser.num_classes:
            labels = np.flatnonzero(spec.class_weights)
        elif not spec.class_weights:
            labels = labels[: spec.images]
        channels, height, width = denoiser.image_shape
        return SetFacts(np.dtype(np.uint8), (len(labels), height, width, channels), labels)
