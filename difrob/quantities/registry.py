"""The table of declared quantities, and what is known of one that nobody declared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from difrob.quantities.charts import CHARTS
from difrob.quantities.quantity import Better, Quantity


class StatesItself(Protocol):
    """Something recorded that says itself what it is: what was in the file beside the numbers; "" where nothing was."""

    @property
    def title(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def better(self) -> str: ...


_BY_NAME: dict[str, Quantity] = {}
_FAMILIES: dict[str, Quantity] = {}


def declare(*quantities: Quantity) -> None:
    """Make quantities known: what this program measures, and what a kind of job from elsewhere does.

    Raises:
        ValueError: for a name that is declared already as something else, or a chart that does not exist.
    """
    for quantity in quantities:
        table = _FAMILIES if quantity.holes else _BY_NAME
        if table.get(quantity.name, quantity) != quantity:
            raise ValueError(f"the quantity '{quantity.name}' is declared already, as something else")
        if quantity.chart and quantity.chart not in CHARTS:
            raise ValueError(f"'{quantity.name}' is to stand in chart '{quantity.chart}'; known: {', '.join(CHARTS)}")
        table[quantity.name] = quantity
    declared_quantity.cache_clear()


def all_quantities() -> list[Quantity]:
    """Everything that is declared, single ones before families."""
    return [*_BY_NAME.values(), *_FAMILIES.values()]


@lru_cache(maxsize=4096)
def declared_quantity(name: str) -> Quantity | None:
    """The declaration of what is recorded under a name; None where nobody declared it.

    A name of its own goes before a family, of families the one that fixes most of the name.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    fitting = [family for family in _FAMILIES.values() if family.filled(name) is not None]
    if not fitting:
        return None
    return max(fitting, key=lambda family: sum(len(part) for part in family.fixed_parts)).filled(name)


def quantity_of(name: str, stated: StatesItself | None = None) -> Quantity:
    """What is recorded under a name: as declared; else as the record states itself; else no more than its name says.

    Args:
        name: of a metric, a curve or a result.
        stated: the record. Its unit counts, since its numbers were written in it, and of an undeclared one all it says.
    """
    found = declared_quantity(name)
    if found is not None:
        return found if stated is None or stated.unit in ("", found.unit) else replace(found, unit=stated.unit)
    plain = Quantity(name, name.replace("/", ", ").replace("_", " "))
    if stated is None:
        return plain
    better = Better(stated.better) if stated.better in list(Better) else Better.NEITHER
    return replace(plain, title=stated.title or plain.title, unit=stated.unit, better=better)


def most_telling(names: Iterable[str]) -> str | None:
    """Which of several results or metrics stands for a run; None where none may."""
    ranked = [(quantity.rank, name) for name in names if (quantity := quantity_of(name)).rank is not None]
    return min(ranked, key=lambda item: item[0] or 0)[1] if ranked else None
