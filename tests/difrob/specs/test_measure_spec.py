"""What a measurement asks for, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from difrob.errors import UserError
from difrob.specs import MeasureSpec, input_runs, parse_spec


def parsed(**values: Any) -> MeasureSpec:
    spec = parse_spec({"kind": "measure", "generated": "set", **values})
    assert isinstance(spec, MeasureSpec)
    return spec


def test_it_reads_a_set_and_perhaps_a_classifier() -> None:
    assert input_runs(parsed()) == {"generated": "set"}
    assert input_runs(parsed(classifier="judge")) == {"generated": "set", "classifier": "judge"}
    assert "label_agreement" not in parsed().measures and parsed().extractor == "pca"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"extractor": "classifier"}, "extractor = classifier needs a run in 'classifier'"),
        ({"extractor": "inception"}, "extractor = inception needs a file in 'inception_path'"),
        ({"extractor": "inception", "inception_path": ""}, "'inception_path'"),
        ({"measures": ["label_agreement"]}, "label_agreement needs a run in 'classifier'"),
        ({"measures": ["frechet", "frechet"]}, "each can be named only once"),
        ({"measures": []}, "'measures'"),
        ({"measures": ["inception"]}, "'measures.0' = 'inception'"),
        ({"near_copy": 1.5}, "'near_copy' = 1.5"),
        ({"kernel_subset": 1}, "'kernel_subset' = 1"),
        ({"reference_images": 1}, "'reference_images' = 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(**values)
    assert message in str(caught.value)


def test_a_classifier_makes_both_possible() -> None:
    spec = parsed(classifier="judge", extractor="classifier", measures=["frechet", "label_agreement"])
    assert spec.measures == ("frechet", "label_agreement")
