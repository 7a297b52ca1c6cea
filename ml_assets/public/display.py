"""How objects look where they are shown: short texts, and tables in a notebook."""

from collections.abc import Iterable, Sequence
from html import escape


def text_table(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as lines, their columns below one another."""
    texts = [[str(value) for value in row] for row in rows]
    if not texts:
        return ""
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in texts]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def html_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as an HTML table; every value is escaped."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
