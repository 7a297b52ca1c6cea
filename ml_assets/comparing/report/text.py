"""How reports write numbers, columns and breaches."""

from ml_assets.comparing.comparison import RuleBreach
from ml_assets.comparing.drift.column import ColumnDrift

CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "�")


def plain(text: str) -> str:
    """Return a text of the data on one line, without characters that a terminal obeys."""
    return text.translate(CONTROLS)


def number(value: float | None) -> str:
    """Return a number with four digits that count, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"


def limited(value: float | None) -> str:
    """Return a statistic, to three decimals, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def share(value: float) -> str:
    """Return a share in percent; one that is very small is not written as zero."""
    return f"{value:.1%}" if value >= 0.001 or value == 0 else "<0.1%"


def likelihood(value: float) -> str:
    """Return how likely something is by chance."""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def described(breach: RuleBreach) -> str:
    """Return in one sentence what breaks a rule, how often, and by which values."""
    values = ", ".join(f"{plain(value)!r}" + (f" ({rows:,}×)" if rows > 1 else "") for value, rows in breach.examples)
    shown = f", such as {values}" if values and breach.rule != "required" else ""
    rows = f"{breach.rows:,} row{' breaks' if breach.rows == 1 else 's break'} that ({share(breach.share)})"
    return f"{plain(breach.column)}: {breach.words}; {rows}{shown}"


def outcome(column: ColumnDrift) -> str:
    """Return whether a column has drifted, in a word or two."""
    if column.drifted:
        return "drifted"
    return "may be chance" if column.beyond else "stable"
