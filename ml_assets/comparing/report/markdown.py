"""A comparison as Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence

from ml_assets.comparing.comparison import TableComparison
from ml_assets.comparing.drift.limits import PSI
from ml_assets.comparing.report.text import described, likelihood, limited, outcome, plain, share


def as_markdown(comparison: TableComparison, created: str) -> str:
    """Return the report; names and values of the data are written so that they mean nothing to Markdown or HTML."""
    return "\n".join(_lines(comparison, created)) + "\n"


def _lines(comparison: TableComparison, created: str) -> Iterator[str]:
    yield f"# {'Passed' if comparison.passed else 'Failed'}: {comparison.verdict}"
    yield ""
    sides = (comparison.reference, comparison.current)
    yield from _table(
        ("side", "path", "rows", "columns"),
        [
            (name, _escaped(side.path), f"{side.rows:,}", str(side.columns))
            for name, side in zip(("reference", "current"), sides, strict=True)
        ],
    )
    yield f"Compared {created}."
    yield ""
    yield "## Contract"
    yield ""
    yield from (
        f"- **missing column** {_escaped(name)} ({dtype})" for name, dtype in comparison.missing_columns.items()
    )
    yield from (f"- **broken** {_escaped(described(breach))}" for breach in comparison.broken)
    yield from (
        f"- {_escaped(described(breach))} (may be chance)" for breach in comparison.breaches if not breach.broken
    )
    yield from (f"- new column {_escaped(name)} ({dtype})" for name, dtype in comparison.new_columns.items())
    yield from (f"- {_escaped(sentence)}" for sentence in comparison.other_types)
    yield f"- {comparison.rules} rules were inferred from the reference."
    yield ""
    yield "## Drift"
    yield ""
    yield from _table(
        ("column", "outcome", "PSI", "by chance", "missing before", "missing now"),
        [
            (
                _escaped(column.name),
                outcome(column),
                limited(column.value(PSI)),
                likelihood(column.chance),
                share(column.reference.missing / column.reference.rows),
                share(column.current.missing / column.current.rows),
            )
            for column in comparison.drift
        ],
    )
    yield from (
        f"- not compared: {_escaped(column.name)} ({column.kind}): {_escaped(column.reason)}"
        for column in comparison.left_out
    )
    yield ""
    yield from (f"{_escaped(note)}\n" for note in comparison.notes)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _escaped(text: str) -> str:
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", escaped)
