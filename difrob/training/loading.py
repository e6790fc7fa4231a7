"""A trained classifier, read back from its run."""

from __future__ import annotations

import torch

from difrob.nets.classifiers import Classifier, build_classifier
from difrob.nets.storage import load_weights, part_of, unpack
from difrob.runs.interface import InputRun
from difrob.specs import parse_spec
from difrob.specs.classifier_runs import ClassifierRun, classifier_run


def load_classifier(input_run: InputRun, which: str | int, device: torch.device) -> tuple[Classifier, ClassifierRun]:
    """The averaged weights of a run that holds a classifier, in evaluation mode and without gradients.

    Args:
        input_run: the run.
        which: ``"best"`` (on validation; falls back to the last), ``"last"``, or a step of which a checkpoint is kept.
        device: where the network is put.

    Raises:
        UserError: when the run is of another kind, has no such checkpoint, or its weights do not fit its specification.
    """
    spec = classifier_run(parse_spec(input_run.spec), input_run.run_id)
    checkpoint = input_run.checkpoint(which)
    channels, height, width = checkpoint.state["image_shape"]
    classifier = build_classifier(spec.network, (channels, height, width), checkpoint.state["num_classes"])
    load_weights(classifier, part_of(unpack(checkpoint.weights), "average"))
    return classifier.to(device).eval().requires_grad_(False), spec
