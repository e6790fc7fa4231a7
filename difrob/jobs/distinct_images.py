"""Drawing a set without duplicates, or without memories of training images, in one pass over its candidates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch

from difrob.data import ImageSet
from difrob.errors import UserError
from difrob.jobs.candidate_batches import CandidatePlan
from difrob.metrics.distances import pixel_points
from difrob.metrics.memorisation import nearest_among
from difrob.metrics.seen_images import EXACT, KEPT, NEAR, REFUSED, SeenImages, principal_projection
from difrob.runs.interface import Measure, Recorder
from difrob.specs import GenerateSpec

RESTORED_AT_ONCE = 4096
SHOWN_PAIRS = 20
KINDS = {
    "exact": (EXACT, "exact_duplicates_dropped", "with the same pixels as an earlier image"),
    "near": (NEAR, "near_duplicates_dropped", "with pixels near to those of an earlier image"),
    "memories": (REFUSED, "memories_dropped", "at less than a third of the distance to their nearest training image than "
                 "to the second nearest"),
}  # fmt: skip


class DrawsImages(Protocol):
    """What images are drawn with, see :class:`difrob.jobs.drawing.Drawer`."""

    def classes(self, index: np.ndarray) -> np.ndarray:
        """The classes of images with these indices, int64 [n]."""
        ...

    def draw(self, index: np.ndarray) -> np.ndarray:
        """The images with these indices, uint8 [n,H,W,C]."""
        ...


@dataclass(frozen=True)
class Survivors:
    """What is left of a batch of candidates.

    Attributes:
        index, images: of those that were kept, in their order.
        dropped_before: how many candidates were dropped before each, int64 [n, 3]: exact, near, memories.
        recorded: how many of them the interrupted run had recorded already: the first ones.
    """

    index: np.ndarray
    images: np.ndarray
    dropped_before: np.ndarray
    recorded: int = 0

    def counts(self) -> dict[str, np.ndarray]:
        """The counts as columns of a table of results."""
        columns = [np.ascontiguousarray(column[self.recorded :]) for column in self.dropped_before.T]
        return {f"dropped_before_{kind}": column for kind, column in zip(KINDS, columns, strict=True)}


class DistinctImages:
    """Draws candidates until each class has its images, and drops what the specification does not want twice.

    A context manager, because the pixels of the kept images lie in a temporary file.

    Args:
        spec: what is asked for.
        target: how many images shall survive.
        drawer: draws candidates by their index.
        training: what the denoiser was trained on.
        device: where distances are computed.

    Attributes:
        dropped: how many were dropped so far, int64 [3]: exact, near, memories.
        plan: where the drawing of candidates stands.

    Raises:
        UserError: when memories cannot be told, for want of training images.
    """

    def __init__(
        self, spec: GenerateSpec, target: int, drawer: DrawsImages, training: ImageSet, device: torch.device
    ) -> None:
        chosen = spec.selection
        if chosen.memories == "drop" and len(training) < 2:
            raise UserError(
                "selection.memories = 'drop' compares the nearest training image with the second nearest, but the denoiser "
                "was trained on one; choose 'keep'"
            )
        self._drawer = drawer
        self._training = training
        self._device = device
        self._target = target
        self._wanted = spec.images
        self._wanted_of_class = np.bincount(drawer.classes(np.arange(target, dtype=np.int64)))
        self._batch_size = spec.batch_size
        self._bound = math.ceil(chosen.most_candidates * target)
        self.plan = self._new_plan()
        looks_near = chosen.duplicates == "near"
        self._seen = SeenImages(
            training.images.shape[1:], target, exact=chosen.duplicates != "keep",
            near_distance=chosen.near_distance if looks_near else None,
            projection=principal_projection(training.images) if looks_near else None, device=device,
        )  # fmt: skip
        self._memories = pixel_points(training.images, device) if chosen.memories == "drop" else None
        self._digests_suffice = not looks_near
        self._kept: list[np.ndarray] = []
        self._recorded = np.empty(0, dtype=np.int64)
        self._dropped_before_recorded: np.ndarray | None = None
        self.dropped = np.zeros(len(KINDS), dtype=np.int64)

    def __enter__(self) -> DistinctImages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seen.close()

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the kept images; plain JSON data."""
        return {"next": self.plan.next, "dropped": self.dropped.tolist()}

    @property
    def kept(self) -> np.ndarray:
        """Indices of the images kept so far, int64 in rising order."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._kept])

    @property
    def judged(self) -> int:
        """How many candidates were judged so far."""
        return int(self.dropped.sum()) + sum(map(len, self._kept))

    @property
    def digests(self) -> np.ndarray:
        """Digests of the kept images, uint8 [n, 16]; empty where they do not suffice to go on."""
        return self._seen.digests if self._digests_suffice else np.empty((0, 16), dtype=np.uint8)

    def restore_rows(self, rows: dict[str, np.ndarray] | None, state: dict[str, Any] | None) -> None:
        """Go on after the recorded rows of an interrupted run.

        The batch of the last row may have been cut off. It is drawn again, for the same pixels, and its recorded images
        are not recorded twice.

        Args:
            rows: the recorded columns ``images``, ``index`` and those of :meth:`Survivors.counts`, all in full;
                None where there are no rows.
            state: of the last checkpoint; None where there is none.
        """
        rows = rows or {"index": np.empty(0, dtype=np.int64)}
        index = rows["index"]
        known = 0
        if state is not None:
            self.plan.next, self.dropped = int(state["next"]), np.array(state["dropped"], dtype=np.int64)
            known = int(np.searchsorted(index, self.plan.next))
            self.plan.take(index[:known])
        for _, kept in self.plan.passed(index[known:]):
            known += len(kept)
        for first in range(0, known, RESTORED_AT_ONCE):
            self._seen.add(np.asarray(rows["images"][first : min(first + RESTORED_AT_ONCE, known)]))
        self._kept = [np.array(index[:known])]
        self._recorded = np.array(index[known:])
        if len(self._recorded):
            self._dropped_before_recorded = np.array([rows[f"dropped_before_{kind}"][known] for kind in KINDS])

    def restore_state(
        self, state: dict[str, Any], kept: np.ndarray, digests: np.ndarray, *, goes_on: bool = True
    ) -> None:
        """Go on after a checkpoint, without recorded rows: kept images whose pixels are needed are drawn again.

        Args:
            state: of the checkpoint.
            kept, digests: :attr:`kept` and :attr:`digests` at that time.
            goes_on: False where no further candidates will be judged.
        """
        for batch, those in self.plan.passed(kept, until=int(state["next"])):
            if goes_on and not self._digests_suffice and len(those):
                self._seen.add(self._drawer.draw(batch)[np.isin(batch, those)])
        if self._digests_suffice:
            self._seen.restore(digests)
        self._kept = [kept]
        self.plan.next, self.dropped = int(state["next"]), np.array(state["dropped"], dtype=np.int64)

    def batches(self) -> Iterator[Survivors]:
        """Draw on, batch by batch, until the set is whole or the bound is reached; a batch may leave nothing.

        Raises:
            Stopped: when asked to, between two steps of the sampler.
        """
        while len(index := self.plan.batch()):
            images = self._drawer.draw(index)
            verdicts = self._seen.offer(images, self._refused(images))
            kept = verdicts.kind == KEPT
            single = np.stack([verdicts.kind == kind for kind, _, _ in KINDS.values()], axis=1).astype(np.int64)
            within = (np.cumsum(single, axis=0) - single)[kept]
            if self._dropped_before_recorded is not None and len(within):
                self.dropped = self._dropped_before_recorded - within[0]
            self._dropped_before_recorded = None
            recorded = int(np.searchsorted(index[kept], self._recorded[-1], side="right")) if len(self._recorded) else 0
            self._recorded = self._recorded[:0]
            survivors = Survivors(index[kept], images[kept], self.dropped + within, recorded)
            self.dropped = self.dropped + single.sum(axis=0)
            self.plan.advance(index, index[kept])
            self._kept.append(index[kept])
            yield survivors

    def _new_plan(self) -> CandidatePlan:
        return CandidatePlan(self._classes, np.append(self._wanted_of_class, 0), self._batch_size, self._bound)

    def _classes(self, index: np.ndarray) -> np.ndarray:
        """The classes of candidates; those of which no image is wanted are one class."""
        return np.minimum(self._drawer.classes(index), len(self._wanted_of_class))

    def _refused(self, images: np.ndarray) -> np.ndarray | None:
        if self._memories is None:
            return None
        return nearest_among(pixel_points(images, self._device), self._memories).memorised

    def report(self, recorder: Recorder, images: int) -> None:
        """How many were dropped and why, and how many are missing.

        Args:
            recorder: told all this.
            images: how many the set has in the end.
        """
        recorder.attribute("candidates", self.judged)
        for count, (_, name, what) in zip(self.dropped.tolist(), KINDS.values(), strict=True):
            described = f"images dropped, {what}, of {self.judged} drawn"
            recorder.result(name, Measure(count, n=self.judged, unit="images", description=described))
        described = f"images of the {self._wanted} asked for that the set lacks"
        recorder.result(
            "missing_images", Measure(self._wanted - images, n=self._wanted, unit="images", description=described)
        )
        if self.plan.missing.any():
            recorder.note(
                f"only {len(self.kept)} of {self._target} candidates were found that need not be dropped: of the "
                f"{self.judged} drawn up to number {self.plan.bound}, {int(self.dropped.sum())} were; the set has "
                f"{images} of {self._wanted} images. Raise selection.most_candidates or lower selection.near_distance, or "
                "train the denoiser on more images",
                "warning",
            )

    def show(self, recorder: Recorder) -> None:
        """The first dropped images, drawn again, so that a resumed run shows the same ones."""
        if self._training.images.shape[-1] not in (1, 3):
            return
        index = self._first_dropped()
        pictures: list[np.ndarray] = []
        captions: list[str] = []
        kept = self.kept
        images = list(self._drawer.draw(index)) if len(index) else []
        for number, image in zip(index, images, strict=True):
            found = self._seen.earlier(image, int(np.searchsorted(kept, number)))
            if found is not None:
                of, other = f"image {kept[found[0]]}", found[1]
            elif self._memories is not None:
                row = int(nearest_among(pixel_points(image[None], self._device), self._memories).index[0])
                of, other = f"training image {row}, a {self._training.labels[row]}", self._training.images[row]
            else:  # drawn in another batch, its last digits may differ
                continue
            distance = np.sqrt(np.square(image.astype(np.float64) - other).mean()) / 255
            pictures += [image, other]
            captions += [
                f"dropped: candidate {number}, a {self._drawer.classes(np.array([number]))[0]}",
                f"repeats {of}, {distance:.3f} apart (root mean square)" if distance else f"the same as {of}",
            ]
        if pictures:
            recorder.images("dropped", self.plan.next, np.stack(pictures), captions)

    def _first_dropped(self) -> np.ndarray:
        plan = self._new_plan()
        found = np.empty(0, dtype=np.int64)
        for batch, kept in plan.passed(self.kept, until=self.plan.next):
            found = np.concatenate([found, np.setdiff1d(batch, kept)])
            if len(found) >= SHOWN_PAIRS:
                break
        return found[:SHOWN_PAIRS]


def require_some(distinct: DistinctImages) -> None:
    """Raises UserError when no image is left at all."""
    if not len(distinct.kept):
        raise UserError(
            f"all {distinct.judged} candidates were dropped as memories of training images; train the denoiser on more "
            "images or for fewer steps, or choose selection.memories = 'keep'"
        )
