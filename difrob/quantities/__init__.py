"""Everything that is measured, declared once: what it is called, its unit, which way is better, and where it is drawn.

Recorder, tables, charts and comparisons ask here, and guess nothing from a name:

    quantity_of("validation/robust_accuracy").better   # Better.UP

A kind of job from elsewhere declares what it measures beside its specification, with :func:`declare`.
"""

from difrob.quantities import evaluation, features, generation, training
from difrob.quantities.charts import CHARTS, SharedChart
from difrob.quantities.quantity import PASSED, SHARE, SHARE_DIFFERENCE, Better, Place, Quantity, Scale
from difrob.quantities.registry import all_quantities, declare, declared_quantity, most_telling, quantity_of

__all__ = [
    "CHARTS",
    "PASSED",
    "SHARE",
    "SHARE_DIFFERENCE",
    "Better",
    "Place",
    "Quantity",
    "Scale",
    "SharedChart",
    "all_quantities",
    "declare",
    "declared_quantity",
    "most_telling",
    "quantity_of",
]
_DECLARING = (evaluation, features, generation, training)  # imported for what they declare
