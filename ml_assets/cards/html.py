"""A document as an HTML page that needs nothing else."""

from ml_assets.cards.document import Block, Document, Paragraph, Points, TextTable, shown
from ml_assets.html_pages import page_template


def render_html(document: Document) -> str:
    """Return the document as a whole page; every text in it is escaped."""
    return page_template(__package__, shown).render(document=document, kind_of=kind_of)


def kind_of(block: Block) -> str:
    """Return which part of the page's template writes a block."""
    match block:
        case Paragraph():
            return "paragraph"
        case Points():
            return "points"
        case TextTable():
            return "grid"
        case _:
            return "statement"
