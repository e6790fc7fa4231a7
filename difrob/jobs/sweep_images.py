"""The loop of every job that works through a set image by image.

A sweep goes over a range of positions in an ordered set of images. What is found for an image depends on the image alone
(its random numbers belong to its number), so ranges may be swept anywhere and in any order: laid one behind the other,
their rows are those of one sweep over the whole. Batches are cut at whole multiples of the batch size, wherever a range
begins and wherever a run was interrupted, so that a network sees an image in the company in which it always sees it. That
matters for the last digits of what it computes and for the passes that an attack spends in company: ranges that are to
agree in these, too, begin at multiples of the batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from difrob.jobs.per_image import ResultTable, Rows
from difrob.runs.interface import Recorder

UPDATES = 40


def sweep_images(
    recorder: Recorder,
    table: ResultTable,
    batch_size: int,
    compute: Callable[[range], Mapping[str, np.ndarray]],
    *,
    take_in: Callable[[Rows], None] | None = None,
    report: Callable[[int], None] | None = None,
    before: int = 0,
    total: int | None = None,
    unit: str = "images",
) -> None:
    """Fill a table, batch by batch, from where an interrupted run left it.

    Rows that are there already are not computed again. Running totals take them in once, in the same batches as ever, and
    reports that were taken back with the interruption are made again; so totals and reports are those of a run that was
    never interrupted. Only a batch that was recorded in part is computed again as a whole, and its missing rows recorded.

    Args:
        recorder: told of progress, and asked before each batch whether to stop.
        table: where rows go; its positions are the range to sweep.
        batch_size: most images at once, at least 1.
        compute: consecutive positions to one row of columns for each of them.
        take_in: given the rows of each batch once, in order, for totals that reports need.
        report: given how many rows have been taken in, it tells of them; some forty times in all, and at the end.
        before: how much of ``unit`` had been done before the sweep, for its progress.
        total: how much there is to do altogether; None where the sweep is all.
        unit: what progress counts.

    Raises:
        Stopped: when asked to; finished batches are recorded.
    """
    first, count, restored = table.positions.start, len(table.positions), len(table)

    def tell_progress() -> None:
        recorder.progress(before + len(table), before + count if total is None else total, unit)

    tell_progress()
    for batch in batches_of(table.positions, batch_size):
        start, done = batch.start - first, batch.stop - first
        is_new = done > restored
        if is_new:
            recorder.check_stop()
            columns, known = compute(batch), len(table) - start
            table.add(**{name: values[known:] for name, values in columns.items()})
        if take_in is not None:
            take_in(table.rows(start, done))
        if report is not None and done > table.reported_rows and report_is_due(start, done, count):
            report(done)
        if is_new:
            table.save_if_due()
            tell_progress()


def batches_of(positions: range, batch_size: int) -> Iterator[range]:
    """Consecutive parts of a range, cut at the multiples of the batch size."""
    start = positions.start
    while start < positions.stop:
        stop = min((start // batch_size + 1) * batch_size, positions.stop)
        yield range(start, stop)
        start = stop


def report_is_due(before: int, done: int, total: int) -> bool:
    """Whether curves are to be drawn anew after a batch: some forty times in all, and at the end.

    Args:
        before, done: number of rows before and after the batch.
        total: number of rows in the end.
    """
    return done == total or done * UPDATES // total > before * UPDATES // total
