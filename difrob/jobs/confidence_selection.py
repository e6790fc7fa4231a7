"""Keeping the images whose label a classifier is surest of (Wang et al. 2023, stage B).

Scores alone are kept while candidates are drawn: at 5 million of them 20 MB, where their pixels would be 15 GB. The chosen
images are then drawn once more, which costs the kept share again and gives the same images, since they belong to their
indices.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from difrob.data import as_float
from difrob.errors import Stopped, UserError
from difrob.jobs.distinct_images import DistinctImages, require_some
from difrob.jobs.drawing import Drawer
from difrob.memory import MicroBatches
from difrob.nets.classifiers import Classifier
from difrob.nets.storage import pack, unpack
from difrob.runs.interface import Recorder
from difrob.specs import GenerateSpec

CHECKPOINT_SECONDS = 60.0


class Judge:
    """A classifier that labels drawn images, or says how probable their label is.

    Args:
        classifier: in evaluation mode, on the device.
        image_shape: (C, H, W) of the drawn images.
        device: where the classifier is.
        pieces: how many images memory allows at once. Those of the drawing, so that a full device is found once.

    Raises:
        UserError: when it does not fit the images.
    """

    def __init__(
        self, classifier: Classifier, image_shape: tuple[int, int, int], device: torch.device, pieces: MicroBatches
    ) -> None:
        if classifier.image_shape != image_shape:
            raise UserError(
                f"the judge takes images of shape {classifier.image_shape}, the denoiser draws {image_shape}; choose a "
                "classifier of the same data"
            )
        self._classifier = classifier
        self._device = device
        self._pieces = pieces

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Softmax of the logits of uint8 [n >= 1,H,W,C], float32 [n, K], in as many pieces as memory asks for.

        Where the pieces are others, the last digits may be.
        """

        def in_pieces() -> np.ndarray:
            return np.concatenate([self._probabilities(images[part]) for part in self._pieces.slices(len(images))])

        return self._pieces.attempt(in_pieces)

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = self._classifier(as_float(images, self._device))
        probabilities: np.ndarray = logits.softmax(1).cpu().numpy()
        return probabilities


def candidates_of(spec: GenerateSpec) -> int:
    """How many images are drawn so that the kept share of them is the set."""
    return math.ceil(spec.images / spec.selection.keep_share)


def confident_indices(
    spec: GenerateSpec, recorder: Recorder, drawer: Drawer, judge: Judge, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw all candidates, score each by the judge's probability of its label, and choose the best of each class.

    Progress counts candidates. The scores are checkpointed, so that an interrupted run goes on where it was.

    Returns:
        Indices of the chosen images in rising order, int64 [spec.images], and their scores, float32.
    """
    count = candidates_of(spec)
    scores = _kept_scores(recorder, count)
    saved_at, saved = time.monotonic(), len(scores)
    parts = [scores]

    def save() -> None:
        nonlocal saved_at, saved
        done = sum(map(len, parts))
        if done > saved:
            recorder.checkpoint(done, pack(scores={"score": torch.from_numpy(np.concatenate(parts))}), {"scored": done})
            saved_at, saved = time.monotonic(), done

    for first in range(len(scores), count, spec.batch_size):
        index = np.arange(first, min(first + spec.batch_size, count), dtype=np.int64)
        try:
            images = drawer.draw(index)
        except Stopped as stopped:
            if stopped.grade == "stop":
                save()
            raise
        labels = drawer.classes(index)
        parts.append(judge.probabilities(images)[np.arange(len(index)), labels].astype(np.float32))
        recorder.progress(int(index[-1]) + 1, count + spec.images, "images")
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            save()
    save()
    scores = np.concatenate(parts)
    chosen = best_of_each_class(scores, drawer.classes(np.arange(count, dtype=np.int64)), spec.images, num_classes)
    return chosen, scores[chosen]


def confident_survivors(
    spec: GenerateSpec, recorder: Recorder, drawer: Drawer, judge: Judge, distinct: DistinctImages, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same among candidates of which duplicates or memories were dropped first, and replaced by further ones.

    Where too few survive, each class gives what it has, up to its share of the set.

    Returns:
        Indices of the chosen images in rising order, int64, at most ``spec.images`` of them; their scores, float32.

    Raises:
        UserError: when no candidate survives.
    """
    count, saved_at = candidates_of(spec), time.monotonic()
    parts = [np.empty(0, dtype=np.float32)]
    finished = False
    if recorder.resumed_from is not None:
        state, kept = recorder.resumed_from.state, unpack(recorder.resumed_from.weights)["candidates"]
        parts, finished = [kept["score"].numpy()], bool(state["finished"])
        distinct.restore_state(state, kept["index"].numpy(), kept["digest"].numpy(), goes_on=not finished)

    def save(is_end: bool = False) -> None:
        nonlocal saved_at
        stored = {"score": np.concatenate(parts), "index": distinct.kept, "digest": distinct.digests}
        tensors = {name: torch.from_numpy(np.array(values)) for name, values in stored.items()}
        recorder.checkpoint(distinct.state["next"], pack(candidates=tensors), {**distinct.state, "finished": is_end})
        saved_at = time.monotonic()

    if not finished:
        done = len(parts[0])
        try:
            for survivors in distinct.batches():
                labels = drawer.classes(survivors.index)
                if len(labels):
                    scores = judge.probabilities(survivors.images)[np.arange(len(labels)), labels]
                    parts.append(scores.astype(np.float32))
                    done += len(labels)
                recorder.progress(done, count + spec.images, "images")
                if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    save()
        except Stopped as stopped:
            if stopped.grade == "stop":
                save()
            raise
        require_some(distinct)
        distinct.show(recorder)
        save(is_end=True)
    scores, index = np.concatenate(parts), distinct.kept
    planned = np.bincount(drawer.classes(np.arange(count, dtype=np.int64)), minlength=num_classes)
    chosen = best_so_many(scores, drawer.classes(index), shares_of(planned, spec.images))
    distinct.report(recorder, len(chosen))
    return index[chosen], scores[chosen]


def best_of_each_class(scores: np.ndarray, labels: np.ndarray, images: int, num_classes: int) -> np.ndarray:
    """Indices of the highest scores of each class, in rising order; each class keeps its share of the whole.

    Of equal scores the earlier image is kept. Shares are rounded by largest remainders, so that the sum is exact.

    Args:
        scores: [N].
        labels: int64 [N] in 0..num_classes-1.
        images: how many are kept, at most N.
        num_classes: K.
    """
    return best_so_many(scores, labels, shares_of(np.bincount(labels, minlength=num_classes), images))


def shares_of(counts: np.ndarray, images: int) -> np.ndarray:
    """``images`` divided in proportion to the counts of the classes, rounded by largest remainders; int64 [K]."""
    exact = counts * images / counts.sum()
    wanted = np.floor(exact + 1e-9).astype(np.int64)
    for label in np.argsort(wanted - exact, kind="stable")[: images - int(wanted.sum())]:
        wanted[label] += 1
    return wanted


def best_so_many(scores: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places of the ``wanted[label]`` highest scores of each class, or of all where there are fewer, in rising order."""
    num_classes = len(wanted)
    counts = np.bincount(labels, minlength=num_classes)
    order = np.lexsort((np.arange(len(scores)), -scores, labels))
    starts = np.concatenate([[0], np.cumsum(counts)])
    chosen = [order[starts[label] : starts[label] + min(wanted[label], counts[label])] for label in range(num_classes)]
    return np.sort(np.concatenate(chosen))


def _kept_scores(recorder: Recorder, count: int) -> np.ndarray:
    if recorder.resumed_from is None:
        return np.empty(0, dtype=np.float32)
    scores: np.ndarray = unpack(recorder.resumed_from.weights)["scores"]["score"].numpy()
    return scores[:count]
