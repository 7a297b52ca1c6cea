"""A card as a document: one content, written as Markdown and as HTML, with nothing in it that either acts on."""

from html.parser import HTMLParser

import pytest

from ml_assets.cards import law
from ml_assets.cards.card import FeatureFacts, GroupMeasure
from ml_assets.cards.document import NOT_STATED, Document, Paragraph, Points, Section, Statement, TextTable
from ml_assets.cards.html import render_html
from ml_assets.cards.markdown import render_markdown
from ml_assets.cards.sections import card_document
from ml_assets.training.spec import CardSpec
from ml_assets_tests.cards.made_card import bare_card

HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(2)) `code`"


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements += [tag, *(name for name, _ in attrs)]

    def handle_data(self, data):
        if self.elements and data.strip():
            self.texts.append(data)


def section(document: Document, title: str) -> Section:
    return next(each for each in document.sections if each.title == title)


def test_what_nobody_states_is_called_not_stated_and_nothing_is_made_up():
    document = card_document(bare_card())
    statements = [block for each in document.sections for block in each.blocks if isinstance(block, Statement)]
    assert {block.shown for block in statements} == {NOT_STATED}
    names = {block.name for block in statements}
    assert {"Purpose", "Intended use", "Out of scope", "Owners", "Provider", "Risks and how they are managed"} <= names
    assert section(document, "Metrics").blocks[0] == Paragraph("No evaluation of this version is kept.")
    assert section(document, "Decisions").blocks == (Paragraph("Nothing has been decided about this version."),)


@pytest.mark.parametrize("field", CardSpec.model_fields)
def test_each_field_of_the_declaration_is_in_the_card_as_it_is_written(field):
    document = card_document(bare_card(statements=CardSpec(**{field: "As Ann says."})))
    stated = [
        block
        for each in document.sections
        for block in each.blocks
        if block == Statement(block_name(block), "As Ann says.")
    ]
    assert len(stated) == 1


def block_name(block):
    return getattr(block, "name", "")


def test_every_point_of_the_annex_is_listed_with_the_sections_that_answer_it():
    sections = card_document(bare_card(statements=CardSpec(purpose="To call ahead."))).sections
    grid = sections[-1].blocks[1]
    assert isinstance(grid, TextTable)
    assert [row[0] for row in grid.rows] == [
        *(f"1({letter})" for letter in "abcdefgh"), *(f"2({letter})" for letter in "abcdefgh"), *"3456789",
    ]  # fmt: skip
    rows = {row[0]: row[2:] for row in grid.rows}
    assert rows["1(f)"] == (NOT_STATED, "the whole of it")
    assert rows["5"] == ("Risks", "Risks and how they are managed")
    assert rows["1(a)"] == ("Purpose", "Intended use, Out of scope, Provider, Owners")
    cited = {law.annex_point(point) for each in sections for point in each.law} - {None}
    assert cited <= {point for point, _ in law.ANNEX_IV}


def test_the_groups_measures_are_in_the_card_or_said_to_be_missing():
    without = section(card_document(bare_card(groups=("sex",))), "Fairness").blocks
    assert without[0] == Statement("Groups that fairness is watched by", "sex")
    assert without[1] == Paragraph("No measure of a group of this version's holdout is kept.")
    about = {"attribute": "sex", "of_class": "", "measure": "selection_rate", "known": 8}
    measured = (
        GroupMeasure(group="f", value=0.25, low=0.1, high=0.5, rows=12, judged=True, **about),
        GroupMeasure(group=None, value=None, low=None, high=None, rows=3, judged=False, **about),
    )
    broken = ("selection_ratio by sex is broken.",)
    kept = section(
        card_document(bare_card(groups=("sex",), fairness=measured, fairness_limits=broken)), "Fairness"
    ).blocks
    assert kept[1] == TextTable(
        ("group", "measure", "value", "rows", "outcome known", "large enough"),
        (
            ("sex=f", "selection_rate", "0.25 [0.1, 0.5]", "12", "8", "yes"),
            ("sex=without a value", "selection_rate", "–", "3", "8", "no"),
        ),
    )
    assert kept[3] == Points(broken)


def test_features_come_with_words_and_what_is_not_known_of_them():
    facts = [
        FeatureFacts(feature="price", view="order", description="amount, of the row to predict.", missing=0.125),
        FeatureFacts(feature="gone", view="", description="", missing=None),
    ]
    grid = section(card_document(bare_card(features=tuple(facts))), "Features").blocks[1]
    assert grid == TextTable(
        ("feature", "importance", "missing", "view", "what it is"),
        (("price", "–", "12.5%", "order", "amount, of the row to predict."), ("gone", "–", "–", "", "")),
    )


def test_both_renderings_hold_the_same_texts():
    blocks = (
        Paragraph("A paragraph."),
        Points(("a point", "another")),
        TextTable(("name", "value"), (("a", "1"), ("b", "2"))),
        Statement("Purpose", None),
        Statement("Use", "By Ann."),
    )
    document = Document("returns, version 3", "What it is", (Section("Data", ("Annex IV(9)",), blocks),))
    assert render_markdown(document) == (
        "# returns, version 3\n\nWhat it is\n\n## Data\n\n*Annex IV(9)*\n\nA paragraph.\n\n- a point\n- another\n\n"
        "| name | value |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n\n**Purpose**: not stated\n\n**Use**: By Ann.\n"
    )
    texts = [text.strip(" :\n") for text in Page(render_html(document)).texts]
    shown = [text for text in texts[texts.index("returns, version 3", 1) :] if text]
    assert shown == [
        "returns, version 3", "What it is", "Data", "Annex IV(9)", "A paragraph.", "a point", "another", "name",
        "value", "a", "1", "b", "2", "Purpose", "not stated", "Use", "By Ann.",
    ]  # fmt: skip


def test_hostile_text_stays_text():
    blocks = (Paragraph(HOSTILE), Points((HOSTILE,)), TextTable((HOSTILE,), ((HOSTILE,),)), Statement(HOSTILE, HOSTILE))
    document = Document(HOSTILE, HOSTILE, (Section(HOSTILE, (HOSTILE,), blocks),))
    page = Page(render_html(document))
    assert not {"script", "a", "onerror", "href", "src"} & {*page.elements}
    assert sum(HOSTILE in text for text in page.texts) == 11
    text = render_markdown(document)
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert "`" not in text.replace("\\`", "")
    # A table of one column whose cells hold a bar has one column all the same.
    row = next(line for line in text.splitlines() if line.startswith("| "))
    assert row.replace("\\|", "").count("|") == 2


@pytest.mark.parametrize(("text", "written"), [("# no heading", "\\# no heading"), ("a\nb", "a b"), ("- x", "\\- x")])
def test_a_text_makes_no_heading_list_or_second_line_of_markdown(text, written):
    assert f"\n\n{written}\n" in render_markdown(Document("t", "s", (Section("S", (), (Paragraph(text),)),)))
