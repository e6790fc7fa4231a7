"""The queue takes no run whose inputs do not fit, and judges those that wait in it by what they will be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.input_runs import a_denoiser, a_set, add_images

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore

DENOISER = {"kind": "train_denoiser"}
CLASSIFIER = {"kind": "train_classifier"}


@pytest.fixture
def queue(workspace: Workspace) -> Iterator[Queue]:
    store = QueueStore(workspace.database)
    yield Queue(workspace, store, lambda event: None)
    store.close()


def entry(run_id: str, spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"run_id": run_id, "spec": {**spec, **fields}}


def test_a_submission_with_one_unfit_input_is_refused_as_a_whole(workspace: Workspace, queue: Queue) -> None:
    made = a_set(workspace, "made", np.arange(20) % 10, (4, 4, 1))
    with pytest.raises(UserError, match="'generated': generated set 'made' has images of 4 x 4 x 1"):
        queue.submit([entry("first", CLASSIFIER), entry("second", CLASSIFIER, generated=made)])
    assert queue.entries == []
    a_denoiser(workspace, "model")
    part = {"teacher": "denoiser", "denoiser": "model", "block": "up0"}
    with pytest.raises(UserError, match=r"'alignment.block': .* it has block0, block1"):
        queue.submit([entry("third", CLASSIFIER, alignment=part)])


def test_data_sets_are_looked_at(workspace: Workspace, queue: Queue) -> None:
    add_images(workspace, "bare", np.arange(40) % 4, validation=0)
    with pytest.raises(UserError, match="'data.dataset': .*no split 'validation'"):
        queue.submit([entry("a", CLASSIFIER, data={"dataset": "bare"})])
    with pytest.raises(UserError, match="there is no data set 'mars'"):
        queue.submit([entry("a", CLASSIFIER, data={"dataset": "mars"})])
    assert queue.entries == []


def test_a_chain_is_judged_by_its_specifications(workspace: Workspace, queue: Queue) -> None:
    add_images(workspace, "wide", np.arange(40) % 4, (16, 16, 1))
    chain = [
        entry("d", DENOISER, data={"dataset": "wide"}),
        entry("s", {"kind": "generate", "denoiser": "d"}),
        entry("c", CLASSIFIER, data={"dataset": "wide"}, generated="s"),
        entry("e", {"kind": "certify", "classifier": "c", "denoiser": "d", "split": "validation"}),
    ]
    assert queue.submit(chain) == ["d", "s", "c", "e"]
    with pytest.raises(UserError, match=r"generated set 's' has images of 16 x 16 x 1 .*'digits' has 8 x 8 x 1"):
        queue.submit([entry("x", CLASSIFIER, generated="s")])
    with pytest.raises(UserError, match="cannot work without a class"):
        queue.submit([entry("n", DENOISER, label_dropout=0), entry("g", {
            "kind": "generate", "denoiser": "n", "guidance_scale": 2.0})])  # fmt: skip
    assert len(queue.entries) == 4


def test_an_edit_is_held_to_the_same(workspace: Workspace, queue: Queue) -> None:
    made = a_set(workspace, "made", np.arange(20) % 9)
    queue.submit([entry("c", CLASSIFIER)])
    before = queue.entries
    with pytest.raises(UserError, match="9 of the 10 classes"):
        queue.edit("c", {**CLASSIFIER, "generated": made}, None, None)
    assert queue.entries == before
    queue.edit("c", {**CLASSIFIER, "steps": 5}, None, None)
    assert queue.get("c").spec["steps"] == 5
