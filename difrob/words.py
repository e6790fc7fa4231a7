"""How window and command line write kinds, states, times and results in words: one place, so that all tables agree."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable

from difrob.runs import Measure, RunState

_KIND_WORDS = {
    "train_denoiser": "Diffusion model",
    "generate": "Generated set",
    "train_classifier": "Classifier",
    "evaluate": "Evaluation",
    "certify": "Certification",
    "measure": "Measurement",
    "import_images": "Imported set",
    "import_denoiser": "Imported model",
    "analyse": "Analysis",
    "probe_teacher": "Probe",
}
_KIND_ICONS = {
    "train_denoiser": "waves",
    "generate": "sparkles",
    "train_classifier": "shield",
    "evaluate": "target",
    "certify": "certificate",
    "measure": "results",
    "import_images": "import",
    "import_denoiser": "network",
    "analyse": "lens",
    "probe_teacher": "crosshair",
}
# Names of metrics and results whose parts, read one by one, say too little.
_MEASURE_WORDS = {
    "distance_to_average": "distance to the weight average",
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance (KID)",
    "off_support_rms": "distance off the support, rms",
    "centre_distance_rms": "distance to the centres, rms",
    "stray_share": "share of stray points",
    "smallest_mode_share": "share of the rarest mode",
    "duplicate_share": "share of exact copies of each other",
    "near_duplicate_share": "share of near copies of each other",
    "near_copy_share": "share of near copies of training images",
    "memorised_share": "memorised share",
    "exact_duplicates_dropped": "exact duplicates dropped",
    "near_duplicates_dropped": "near duplicates dropped",
    "memories_dropped": "memories of training images dropped",
    "missing_images": "images missing",
    "images_per_second": "images per second",
    "training_to_held_out_ratio": "distance to training / held-out images",
    "loss/penalty": "penalty of the regulariser",
    "cosine": "cosine to the teacher's features",
}
_ABBREVIATIONS = {
    "rmse": "RMSE",
    "fid": "FID",
    "ema": "EMA",
    "kid": "KID",
    "cka": "CKA",
    "frechet": "Fréchet",
    "pgd": "PGD",
}
# Numbers that are kept as fractions of one: accuracies, and differences of two of them, which are no shares themselves.
SHARE = "share"
SHARE_DIFFERENCE = "share difference"
_PER_CENT = {SHARE: "%", SHARE_DIFFERENCE: "points"}
_TIME = re.compile(r"^\d{8}T\d{6}Z-")
_HEADLINES = ("robust_accuracy", "certified", "robust", "clean_accuracy", "accuracy", "loss")


def kind_word(kind: str) -> str:
    """A short noun for a run of this kind, e.g. ``Classifier``."""
    return _KIND_WORDS.get(kind) or kind.replace("_", " ").capitalize()


def kind_title(kind: str) -> str:
    """The title of the kind's specification, e.g. ``Train a robust classifier``."""
    from difrob.specs import KINDS  # needs pydantic, for which a table of runs need not wait

    spec = KINDS.get(kind)
    return spec.title if spec is not None and spec.title else kind_word(kind)


def kind_icon(kind: str) -> str:
    """Name of the icon of a kind."""
    return _KIND_ICONS.get(kind, "spec")


def state_word(state: RunState) -> str:
    """The state as a word that begins a cell."""
    return str(state.value).capitalize()


def run_title(name: str, run_id: str) -> str:
    """The name of a run; for an unnamed one its id without the time, which stands elsewhere."""
    return name or _TIME.sub("", run_id) or run_id


def duration(seconds: float | None) -> str:
    """A span as ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``; empty when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def age(since: float, now: float | None = None) -> str:
    """How long ago, in the largest unit only: ``now``, ``5 min``, ``3 h``, ``2 d``."""
    if since <= 0:
        return ""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def measure_name(name: str) -> str:
    """``robust_accuracy`` as ``robust accuracy``; names that a person would not understand, in words."""
    last = name.rsplit("/", 1)[-1]
    known = _MEASURE_WORDS.get(name) or _MEASURE_WORDS.get(last)
    return known or " ".join(_ABBREVIATIONS.get(part, part) for part in last.split("_"))


def is_per_cent(unit: str) -> bool:
    """Whether numbers of this unit are kept as fractions and shown a hundred times as large, with the unit in the text."""
    return unit in _PER_CENT


def unit_text(unit: str) -> str:
    """What stands behind a number and its interval; empty where :func:`number` has said it."""
    return "" if is_per_cent(unit) else unit


def number(value: float, unit: str = "") -> str:
    """A number as tables show it; shares as per cent, differences of shares in percentage points."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if is_per_cent(unit):
        return f"{100 * value:.1f} {_PER_CENT[unit]}"
    if value == round(value) and 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}"  # a count, in full
    return f"{value:.4g}"


def interval(measure: Measure) -> str:
    """``[50.1, 58.2]`` in the measure's unit, or empty without an interval."""
    if measure.low is None or measure.high is None:
        return ""
    factor, form = (100.0, ".1f") if is_per_cent(measure.unit) else (1.0, ".3g")
    return f"[{factor * measure.low:{form}}, {factor * measure.high:{form}}]"


def headline(names: Iterable[str]) -> str | None:
    """Which of several results stands for a run: robust before clean before anything else.

    What is told of features while a classifier learns stands for no run; its accuracies are to come. Probes on features are a
    choice that only some analyses make: a number that all of them have stands for them.
    """
    candidates = [name for name in names if not name.startswith(("features_", "feature_probe_", "teacher_probe_"))]
    for wanted in _HEADLINES:
        for name in candidates:
            if wanted in name:
                return name
    return candidates[0] if candidates else None


def plural(count: int, noun: str) -> str:
    """``1 run``, ``3 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
