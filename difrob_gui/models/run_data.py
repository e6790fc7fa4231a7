"""Everything known of one run, put together from the updates of its feed."""

from __future__ import annotations

from difrob.quantities import Quantity, quantity_of
from difrob.runs import Curve, FeedUpdate, LogLine, Measure, Pictures, RunSummary
from difrob_gui.charts.series_data import SeriesData


class RunData:
    """Metrics, curves, pictures, log and results of a run as far as they have been read.

    There is one ``SeriesData`` of each metric, which grows in place, and one of each curve in ``drawn_curves``, which another
    takes the place of when the curve is measured again. A reset begins with new ones: the old are no longer fed.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.summary: RunSummary | None = None
        self.metrics: dict[str, SeriesData] = {}
        self._intervals: dict[str, str] = {}
        self._quantities: dict[str, Quantity] = {}
        self.curves: dict[str, Curve] = {}
        self.drawn_curves: dict[str, SeriesData] = {}
        self.pictures: dict[str, list[Pictures]] = {}
        self.log: list[LogLine] = []

    @property
    def results(self) -> dict[str, Measure]:
        """The final numbers so far."""
        return self.summary.results if self.summary is not None else {}

    def apply(self, update: FeedUpdate) -> None:
        """Take an update in."""
        self.summary = update.summary
        if update.reset:
            self.metrics, self.curves, self.drawn_curves, self.pictures, self.log = {}, {}, {}, {}, []
        for name, series in update.metrics.items():
            self._intervals[name] = series.interval or self._intervals.get(name, "")
            self._quantities[name] = quantity_of(name, series)
            data = self.metrics.get(name)
            if data is None:
                data = self.metrics[name] = SeriesData()
            data.extend(series.step, series.time, series.value, series.low, series.high)
        for curve in update.curves:
            self.curves[curve.name] = curve
            self.drawn_curves[curve.name] = SeriesData.of_curve(curve.x, curve.y, curve.low, curve.high)
        for pictures in update.pictures:
            batches = self.pictures.setdefault(pictures.name, [])
            batches[:] = [batch for batch in batches if batch.step != pictures.step]
            batches.append(pictures)
            batches.sort(key=lambda batch: batch.step)
        self.log.extend(update.log)

    def interval(self, name: str) -> str:
        """What the recorded intervals of a metric are; as declared, where an old file does not say."""
        return self._intervals.get(name) or self.quantity(name).interval

    def quantity(self, name: str) -> Quantity:
        """What a metric of this run is."""
        return self._quantities.get(name) or quantity_of(name)

    @property
    def quantities(self) -> list[Quantity]:
        """What its metrics are, in the order in which they came."""
        return [self.quantity(name) for name in self.metrics]
