"""A document in Markdown."""

import re

from ml_assets.cards.document import Block, Document, Paragraph, Points, Statement, TextTable

_ACTIVE = re.compile(r"[<`\\]|\](?=[(\[:])")
"""What would begin HTML, code, an escape or a link."""


def render_markdown(document: Document) -> str:
    """Return the document as Markdown. Text in it stays text: it makes no HTML, link, heading or column."""
    parts = [f"# {_inline(document.title)}", _inline(document.subtitle)]
    for section in document.sections:
        parts.append(f"## {_inline(section.title)}")
        if section.law:
            parts.append(f"*{_inline('; '.join(section.law))}*")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return _inline(text)
        case Points(items):
            return "\n".join(f"- {_inline(item)}" for item in items)
        case Statement(name):
            return f"**{_inline(name)}**: {_inline(block.shown)}"
        case TextTable(headings, rows):
            lines = [headings, ("---",) * len(headings), *rows]
            return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def _inline(text: str) -> str:
    """Return a text on one line, with nothing in it that Markdown or HTML acts on."""
    line = " ".join(text.split())
    escaped = _ACTIVE.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", line)
    return f"\\{escaped}" if re.match(r"#+ |[-+*>] |\d+[.)] ", escaped) else escaped
