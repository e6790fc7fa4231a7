"""Job specifications: one pydantic model per kind, from which form, command line, presets and records come."""

from difrob.specs.alignment_parts import AlignmentSpec
from difrob.specs.analyse import AnalyseSpec
from difrob.specs.base import (
    JobSpec,
    Spec,
    conditions_of,
    default_at,
    devices_of,
    face_of,
    input_runs,
    kind_of,
    parameter,
    part,
    value_at,
    walk_fields,
)
from difrob.specs.certify import CertifySpec
from difrob.specs.evaluate import EvaluateSpec
from difrob.specs.generate import GenerateSpec
from difrob.specs.import_denoiser import ImportDenoiserSpec
from difrob.specs.import_images import ImportImagesSpec
from difrob.specs.kinds import KINDS, kinds_holding, run_kinds, trains
from difrob.specs.measure import MeasureSpec
from difrob.specs.parts import AttackSpec, DataSpec, MemorySpec
from difrob.specs.presets import Preset, list_presets, load_preset
from difrob.specs.probe_teacher import ProbeTeacherSpec
from difrob.specs.registry import apply_overrides, parse_spec, spec_class
from difrob.specs.train_classifier import ClassifierNetworkSpec, TrainClassifierSpec
from difrob.specs.train_denoiser import DenoiserNetworkSpec, TrainDenoiserSpec

__all__ = [
    "KINDS",
    "AlignmentSpec",
    "AnalyseSpec",
    "AttackSpec",
    "CertifySpec",
    "ClassifierNetworkSpec",
    "DataSpec",
    "DenoiserNetworkSpec",
    "EvaluateSpec",
    "GenerateSpec",
    "ImportDenoiserSpec",
    "ImportImagesSpec",
    "JobSpec",
    "MeasureSpec",
    "MemorySpec",
    "Preset",
    "ProbeTeacherSpec",
    "Spec",
    "TrainClassifierSpec",
    "TrainDenoiserSpec",
    "apply_overrides",
    "conditions_of",
    "default_at",
    "devices_of",
    "face_of",
    "input_runs",
    "kind_of",
    "kinds_holding",
    "list_presets",
    "load_preset",
    "parameter",
    "parse_spec",
    "part",
    "run_kinds",
    "spec_class",
    "trains",
    "value_at",
    "walk_fields",
]
