"""How a job cuts its batches, as a recorded decision: what was asked for, and what memory allowed."""

from __future__ import annotations

from difrob.memory import MicroBatches
from difrob.ranks.shares import ALONE, Ranks
from difrob.runs.interface import Recorder
from difrob.specs import MemorySpec

STATE = "micro_batch"
MEASURED_AT_ONCE = 256


def training_pieces(recorder: Recorder, spec: MemorySpec, batch_size: int, ranks: Ranks = ALONE) -> MicroBatches:
    """Micro-batches of a training: those of the interrupted run, or else those of the specification.

    Each rank cuts its own share of a batch; a checkpoint holds how the leading one does.

    The checkpoints of the job must hold ``size`` under :data:`STATE`.
    """
    own = ranks.largest_share(batch_size)
    size = min(spec.micro_batch or own, own)
    if recorder.resumed_from is not None:
        size = int(recorder.resumed_from.state.get(STATE, size))
    return _recorded(recorder, size, may_shrink=spec.shrink)


def measuring_pieces(recorder: Recorder, spec: MemorySpec, training: MicroBatches, own_batch: int) -> MicroBatches:
    """Pieces in which fixed images are measured while a network learns.

    A device that cannot hold its whole share of a batch, ``own_batch`` images, is not given more when measuring.
    """
    size = training.size if training.size < own_batch else max(own_batch, MEASURED_AT_ONCE)
    return MicroBatches(
        size, may_shrink=spec.shrink, tell=lambda new_size, sentence: recorder.note(f"measuring: {sentence}", "warning")
    )


def sampling_pieces(recorder: Recorder, batch_size: int) -> MicroBatches:
    """Pieces of a job whose rows do not depend on its batches, so that shrinking them changes nothing."""
    return _recorded(recorder, batch_size, may_shrink=True)


def _recorded(recorder: Recorder, size: int, *, may_shrink: bool) -> MicroBatches:
    def tell(new_size: int, sentence: str) -> None:
        recorder.note(sentence, "warning")
        recorder.attribute(STATE, {"images_at_once": new_size, "decided_because": sentence})

    return MicroBatches(size, may_shrink=may_shrink, tell=tell)
