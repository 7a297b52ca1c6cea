"""The page of a comparison."""

from ml_assets.comparing.comparison import TableComparison
from ml_assets.comparing.drift.limits import PSI
from ml_assets.comparing.report.page import drawing
from ml_assets.comparing.report.text import described, likelihood, limited, number, outcome, plain, share
from ml_assets.html_pages import page_template

OPEN = 10
"""Columns that are shown open; the others are folded."""


def as_html(comparison: TableComparison, created: str) -> str:
    """Return a complete HTML document; every text of the data in it is escaped."""
    return page_template(__package__, number).render(
        result=comparison,
        created=created,
        opened=max(OPEN, len(comparison.drifted)),
        psi=PSI,
        described=described,
        draw_numbers=drawing.draw_numbers,
        draw_categories=drawing.draw_categories,
        height=drawing.HEIGHT,
        width=drawing.WIDTH,
        row=drawing.ROW,
        likelihood=likelihood,
        limited=limited,
        outcome=outcome,
        plain=plain,
        share=share,
    )
