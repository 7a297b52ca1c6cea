"""Values that a card shows to nobody: those of columns that the contract of the rows marks as private."""

from collections.abc import Iterable

from ml_assets.modelling.context import ModelContext


def private_of(model: ModelContext) -> frozenset[str]:
    """Return the private columns of the rows to predict, of those that parts of the holdout go by.

    What SQL makes of a private column is private only where a contract of its own table says so.
    """
    from ml_assets.quality.contracts import load_contract, private_columns

    if not model.contract or not {*model.spec.slices, *model.spec.groups}:
        return frozenset()
    return private_columns(load_contract(model.contract))


def masked(values: Iterable[str | None]) -> dict[str | None, str | None]:
    """Return what stands for each value, told apart by numbers in the order in which they come."""
    known = dict.fromkeys(value for value in values if value is not None)
    return {None: None, **{value: f"(private {number})" for number, value in enumerate(known, 1)}}
