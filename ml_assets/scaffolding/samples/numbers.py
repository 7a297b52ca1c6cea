"""Which texts of a sample are numbers or truth, and how these are written."""

import re
from collections.abc import Collection, Mapping

import polars as pl

from ml_assets.scaffolding.samples.moments import MOMENT
from ml_assets.sources.csv.dialect import CsvDialect, plain_values
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.typed import typed_column

TRUTH = (("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"))
"""Pairs of words for true and false, besides those that the reader knows."""

STYLES = ((".", ""), (",", ""), (",", "."), (".", ","), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal point and sign between thousands, as they are looked for."""

_SPELLINGS = 2**3 + 2**2
"""Of yes and no together, in all their upper and lower cases."""

_LEADING_ZERO = r"^[+-]?0\d"
_WHOLE_NUMBER = r"^[+-]?\d+$"
_WHOLE_WITH_ZERO = r"^[+-]?\d+\.0$"


def dtype_of(texts: pl.Series, dialect: CsvDialect, unit: str = "") -> pl.DataType:
    """Return the narrowest type that every text becomes exactly, by the same rules as a delivery is read with."""
    values = texts.drop_nulls().unique(maintain_order=True)
    if values.is_empty():
        return pl.String()
    plain = plain_values(values, pl.Float64(), dialect, unit)
    numbers: list[pl.DataType] = []
    # "007" is a name, and a number of twenty digits would lose some of them.
    if plain.null_count() == 0 and not plain.str.contains(_LEADING_ZERO).any():
        # As pandas writes whole numbers where values are missing.
        gaps = texts.null_count() > 0 and plain.str.contains(_WHOLE_WITH_ZERO).all()
        numbers = [pl.Int64()] if gaps or plain.str.contains(_WHOLE_NUMBER).all() else [pl.Float64()]
    words = {"true", "false", *(word.lower() for word in [*dialect.true_values, *dialect.false_values])}
    truth = [pl.Boolean()] if values.str.to_lowercase().is_in(sorted(words)).all() else []
    for dtype in [*truth, *numbers, pl.Date(), MOMENT]:
        if _becomes(values, dtype, dialect, unit):
            return dtype
    return pl.String()


def _becomes(values: pl.Series, dtype: pl.DataType, dialect: CsvDialect, unit: str) -> bool:
    plain = plain_values(values, dtype, dialect, unit)
    try:
        typed_column(plain, dtype)
    except DeliveryFault:
        return False
    return plain.null_count() == 0


def with_style(dialect: CsvDialect, columns: list[pl.Series]) -> tuple[CsvDialect, str]:
    """Return the dialect with the style in which most columns are numbers, by default the plain style.

    The second value describes what had to be assumed, where another style fits as well.
    """
    styles = list(STYLES)
    if dialect.delimiter == ",":  # where the comma divides fields, a comma in a number divides thousands
        styles.insert(1, styles.pop(styles.index((".", ","))))
    candidates = [dialect.model_copy(update={"decimal": point, "thousands": sign}) for point, sign in styles]
    readings = [_readings(values, candidates) for values in columns]
    counts = [sum(of_column) for of_column in zip(*readings, strict=True)] if readings else [0] * len(candidates)
    best = candidates[counts.index(max(counts))]
    alike = [style for style, count in zip(candidates, counts, strict=True) if count == max(counts)]
    if any(best.thousands == other.decimal and best.decimal != other.decimal for other in alike):
        return best, f"numbers: {best.thousands} is assumed to stand between thousands, though it may before decimals"
    if best.decimal != "." and any(best.decimal == other.thousands for other in alike):
        return best, f"numbers: {best.decimal} is assumed to stand before decimals, though it may between thousands"
    return best, ""


def _readings(values: pl.Series, candidates: list[CsvDialect]) -> list[bool]:
    """Return for each style whether the texts are numbers by it; styles whose signs they lack alike are tried once."""
    letters = set("".join(values.to_list()))
    signs = {sign: sign in letters for style in STYLES for sign in style}
    signs[" "] = any(letter.isspace() for letter in letters)  # all kinds of space are one
    tried: dict[tuple[str, str], bool] = {}
    for style in candidates:
        key = _signs_in(style, signs)
        if key not in tried:
            tried[key] = _is_number(values, style)
    return [tried[_signs_in(style, signs)] for style in candidates]


def _signs_in(style: CsvDialect, signs: Mapping[str, bool]) -> tuple[str, str]:
    return style.decimal if signs[style.decimal] else "", style.thousands if signs[style.thousands] else ""


def _is_number(values: pl.Series, dialect: CsvDialect) -> bool:
    return not values.is_empty() and _becomes(values, pl.Float64(), dialect, unit_sign(values, dialect))


def unit_sign(values: pl.Series, dialect: CsvDialect) -> str:
    """Return the one sign that every value has, if the values are numbers without it."""
    values = values.drop_nulls()
    if values.is_empty():
        return ""
    sign = re.search(r"^[+-]?\s*([^\w\s.,+\-'\"()]|[A-Z]{3}(?=\s))|([^\w\s.,+\-'\"()]|(?<=\s)[A-Z]{3})$", values[0])
    unit = next((part for part in sign.groups() if part), "") if sign else ""
    if not unit or not values.str.contains(unit, literal=True).all():
        return ""
    return unit if plain_values(values, pl.Float64(), dialect, unit).null_count() == 0 else ""


def with_truth(dialect: CsvDialect, columns: Collection[pl.Series]) -> CsvDialect:
    """Return the dialect with the pairs of words for true and false that are the only texts of a column."""
    words: dict[str, list[str]] = {"true_values": [], "false_values": []}
    few = [set(values.str.to_lowercase()) for values in columns if len(values) <= _SPELLINGS]
    for true, false in TRUTH:
        for texts in few:
            if texts == {true, false} or (texts and texts <= {true, false} and len(true) > 2):
                words["true_values"].append(true)
                words["false_values"].append(false)
                break
    return dialect.model_copy(update={key: [*getattr(dialect, key), *texts] for key, texts in words.items()})
