"""How tables and hints write what is known about a data set."""

from __future__ import annotations

from difrob.runs.datasets import DataSetRecord

MANY_SPLITS = 6


def images_text(record: DataSetRecord) -> str:
    """The number of all images, e.g. ``70,000``; points are drawn as asked for."""
    return "drawn" if record.is_drawn else f"{images_of(record):,}"


def images_of(record: DataSetRecord) -> int:
    """The number of images of all splits."""
    return sum(split.images for split in record.splits.values())


def counts_text(record: DataSetRecord) -> str:
    """``train 54,000, validation 6,000, test 10,000``; of very many splits only how many."""
    if record.is_drawn:
        return "as many points as asked for"
    if len(record.splits) > MANY_SPLITS:
        return f"{len(record.splits)} splits, {images_of(record):,} images in all"
    return ", ".join(f"{name} {split.images:,}" for name, split in record.splits.items())


def size_text(record: DataSetRecord) -> str:
    """``28 × 28 grey``, or how many numbers a point has."""
    channels, height, width = record.image_shape
    if record.is_points:
        return f"{channels * height * width} numbers"
    return f"{height} × {width} {'grey' if channels == 1 else 'colour'}"


def origin_text(record: DataSetRecord) -> str:
    """Whether the files were the published ones, in a word."""
    if record.folder is None:
        return "built in"
    return "official" if record.official else "own files"


def origin_meaning(record: DataSetRecord) -> str:
    """What that word says."""
    if record.folder is None:
        return "Comes with difrob."
    if record.official:
        return "The files have the digests that the publisher of this set gives."
    return "Not known to be published files; title and notes say what they were compared with."


def validation_text(record: DataSetRecord) -> str:
    """By which rule images were held out for validation, as a sentence."""
    if record.is_drawn:
        return "Points are drawn anew for validation."
    rule = record.validation
    count = rule.get("images", 0)
    if not rule or not count:
        return "A fixed split, the same for everybody." if "validation" in record.splits else "None are held out."
    seed = f", seed {rule['seed']}" if "seed" in rule else ""
    return f"{count:,} images, {rule.get('rule', 'held out')}{seed}"
