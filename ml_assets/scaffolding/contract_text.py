"""A contract as Python text: a Pandera polars model with one field per column."""

import json
import keyword
import math
import re

import polars as pl

from ml_assets.scaffolding.columns import Column, Number
from ml_assets.scaffolding.errors import ScaffoldError

HEADER = '''"""What a row of {name} must satisfy; a row that does not goes to quarantine.

{origin}
"""

import pandera.polars as pa
import polars as pl


class {contract}(pa.DataFrameModel):
'''

_ROLES = {
    "label": "Outcome to predict; none while it is not known",
    "label_known_at": "When the outcome was known; none while it is not",
}
_RESERVED = {"Config"}


def contract_name(table: str) -> str:
    """Return the name of a table's contract: `OrderLines` for the table `order_lines`."""
    return "".join(part.capitalize() for part in table.split("_"))


def render_contract(table: str, columns: list[Column], key: list[str], origin: str) -> str:
    """Return the text of a module with one Pandera model, named by `contract_name`.

    Args:
        key: columns that together are unique.
        origin: one sentence that says where the rules come from.

    Raises:
        ScaffoldError: there is no column.
    """
    if not columns:
        raise ScaffoldError(f"{table}: the sample has no column that a table can hold")
    names = _attributes([column.name for column in columns])
    lines = [_field(names[column.name], column, key) for column in columns]
    if len(key) > 1:
        lines += ["", "    class Config:", f"        unique = {json.dumps(key, ensure_ascii=False)}"]
    return HEADER.format(name=table, contract=contract_name(table), origin=origin) + "\n".join(lines) + "\n"


def dtype_text(dtype: pl.DataType) -> str:
    """Return the type as Python writes it, such as `pl.Datetime("us", "UTC")`."""
    if isinstance(dtype, pl.Datetime):
        zone = f', "{dtype.time_zone}"' if dtype.time_zone else ""
        return f'pl.Datetime("{dtype.time_unit}"{zone})'
    if isinstance(dtype, pl.Duration):
        return f'pl.Duration("{dtype.time_unit}")'
    if isinstance(dtype, pl.Decimal):
        return f"pl.Decimal({dtype.precision}, {dtype.scale})"
    return f"pl.{dtype}"


def _field(attribute: str, column: Column, key: list[str]) -> str:
    rules: list[str] = []
    if attribute != column.name:
        rules.append(f"alias={_quoted(column.name)}")
    if key == [column.name]:
        rules.append("unique=True")
    if column.choices:
        rules.append(f"isin=[{', '.join(map(_quoted, column.choices))}]")
    if column.smallest is not None and column.smallest >= 0 and column.name not in key:
        rules.append("ge=0")
    if column.nullable and column.name not in key:
        rules.append("nullable=True")
    if column.role:
        rules.append(f'metadata={{"role": "{column.role}"}}')
    rules.append(f"description={_quoted(_ROLES[column.role] if column.role else '')}")
    seen = [] if column.name in key else _seen(column)
    return "\n".join([*seen, *_wrapped(f"    {attribute}: {dtype_text(column.dtype)} = pa.Field(", rules)])


def _seen(column: Column) -> list[str]:
    if column.smallest is None or column.largest is None or column.smallest == column.largest:
        return []
    low, high = (_number(value) for value in (column.smallest, column.largest))
    return [f"    # The sample has {low} to {high}; bound it by ge= and le= where the meaning does."]


def _number(value: Number) -> str:
    return f"{value:.6g}" if isinstance(value, float) and not math.isinf(value) else str(value)


def _wrapped(begin: str, rules: list[str]) -> list[str]:
    line = begin + ", ".join(rules) + ")"
    return [line] if len(line) <= 120 else [begin, *(f"        {rule}," for rule in rules), "    )"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _attributes(names: list[str]) -> dict[str, str]:
    """Return for each column a Python name that Pandera takes for a field: the column's own name where possible."""
    import pandera.polars as pa

    taken: dict[str, str] = {}
    for name in names:
        clean = re.sub(r"\W+", "_", name).strip("_") or "column"
        clean = f"column_{clean}" if clean[0].isdigit() else clean
        if keyword.iskeyword(clean) or hasattr(pa.DataFrameModel, clean) or clean in _RESERVED | {"pa", "pl"}:
            clean += "_"
        while clean in taken.values() or (clean != name and clean in names):
            clean += "_"
        taken[name] = clean
    return taken
