"""Specification of ``measure``: how near a set is to real images, and how much of it is only remembered."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, parameter
from difrob.specs.evaluate import Split, Weights
from difrob.specs.takes import CLASSIFIER, LABELLED_IMAGES, data_set_of, path_of, run_holding

ExtractorName = Literal["pixels", "pca", "classifier", "inception"]
MeasureName = Literal[
    "frechet", "kernel", "precision_recall", "density_coverage", "memorisation", "duplicates", "label_agreement"
]


class MeasureSpec(JobSpec):
    """Distances, overlap, memorisation and label agreement of a set that was generated here, or elsewhere and imported."""

    noun = "Measurement"
    title = "Measure a generated set"
    summary = "Fréchet and kernel distance, precision and recall, memorised and repeated images, agreement of labels."

    icon = "results"
    place = 60
    job = "difrob.jobs.measure:run"

    kind: Literal["measure"] = "measure"
    generated: str = parameter(
        ..., "The set that is measured: a generated one, or an imported one together with 'dataset'.", group="Inputs",
        takes=run_holding(LABELLED_IMAGES), min_length=1,
    )  # fmt: skip
    classifier: str | None = parameter(
        None, "A classifier, for its features or for the agreement of labels. For labels it must not have learnt from the set.",
        group="Inputs", takes=run_holding(CLASSIFIER),
    )  # fmt: skip
    weights: Weights = parameter("best", "The classifier's best checkpoint on validation, or the last one.",
                                 group="Inputs", advanced=True)  # fmt: skip
    measures: tuple[MeasureName, ...] = parameter(
        ("frechet", "kernel", "precision_recall", "density_coverage", "memorisation", "duplicates"),
        "What is measured. label_agreement needs a classifier.", group="Measures", min_length=1, max_length=7,
    )  # fmt: skip
    images: int | None = parameter(
        None, "How many images of the set, the first ones. Distances depend on it.", unit="images", group="Data",
        empty_means="all", other_names=("n_images", "num_samples"), ge=1,
    )  # fmt: skip
    dataset: str | None = parameter(
        None, "Data set of the real images that an imported set is measured against: what its generator learnt from, as far as "
        "you know.", group="Data", takes=data_set_of("images"),
        empty_means="the one of the denoiser that drew a generated set", max_length=64,
    )  # fmt: skip
    reference: Split = parameter(
        "test", "Real images that distances and overlap are measured against; train: those that the denoiser learnt from, "
        "for an imported set all training images of 'dataset'.", group="Data",
        source="Heusel et al. 2017 take the training images, which rewards copies of them",
    )  # fmt: skip
    reference_images: int | None = parameter(
        None,
        "How many of them, class-balanced. Distances depend on it.",
        unit="images",
        group="Data",
        empty_means="all",
        ge=2,
    )
    held_out: Literal["test", "validation"] = parameter(
        "test", "Images that the generator has never seen, against which nearness to its training images is judged.",
        group="Data", advanced=True, source="Meehan et al. 2020",
    )  # fmt: skip
    extractor: ExtractorName = parameter(
        "pca", "Features of distances and overlap. pca: principal components of the reference images' pixels; classifier: "
        "activations in front of its head; inception: the 2,048 features of published distances, for which you need a file of "
        "weights. Numbers in different features cannot be compared.",
        group="Features",
    )  # fmt: skip
    inception_path: str | None = parameter(
        None, "File with the weights of the Inception network of 2015-12-05, .pth, .pt or .safetensors, as published by "
        "pytorch-fid: pt_inception-2015-12-05-6726825d.pth. It is read from here and never fetched; its SHA-256 stands "
        "with every number.",
        group="Features", takes=path_of(".pth", ".pt", ".safetensors"),
        shown_when={"extractor": ("inception",)}, min_length=1, max_length=4096,
        source="Heusel et al. 2017",
    )  # fmt: skip
    components: int = parameter(
        32, "Number of principal components.", unit="features", group="Features", ge=1, le=4096,
        shown_when={"extractor": ("pca",)},
    )  # fmt: skip
    kernel_subset: int = parameter(
        100, "Images of the smaller set in each of the disjoint subsets over which the kernel distance is averaged.",
        unit="images", group="Measures", ge=2, source="Bińkowski et al. 2018, section 4",
    )  # fmt: skip
    neighbours: int = parameter(
        5, "The ball of an image reaches to this neighbour of it (precision, recall, density, coverage).", unit="images",
        group="Measures", ge=1, le=1000, source="Naeem et al. 2020: 5; Kynkäänniemi et al. 2019: 3",
    )  # fmt: skip
    near_copy: float = parameter(
        0.05, "Root mean square difference of the pixels up to which an image counts as a copy of another.",
        unit="[0,1] intensity", group="Measures", condition="difference of near copies", ge=0, le=1,
    )  # fmt: skip
    batch_size: int = parameter(
        500,
        "Images compared at once; results do not depend on it.",
        unit="images",
        group="Measures",
        ge=1,
        advanced=True,
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> MeasureSpec:
        if not self.classifier:
            if self.extractor == "classifier":
                raise ValueError("extractor = classifier needs a run in 'classifier'; choose one, or another extractor")
            if "label_agreement" in self.measures:
                raise ValueError(
                    "label_agreement needs a run in 'classifier'; choose one, or leave label_agreement out"
                )
        if self.extractor == "inception" and not self.inception_path:
            raise ValueError(
                "extractor = inception needs a file in 'inception_path'; name one, or choose another extractor"
            )
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures = {', '.join(self.measures)}: each can be named only once")
        return self
