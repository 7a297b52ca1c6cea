"""A document as an HTML page that needs nothing else."""

from ml_assets.cards.document import Document, shown
from ml_assets.html_pages import page_template


def render_html(document: Document) -> str:
    """Return the document as a whole page; every text in it is escaped."""
    return page_template(__package__, shown).render(document=document)
