"""The page of a model's card."""

import pytest

from ml_assets.cards.card import FeatureFacts, ModelCard
from ml_assets.training.spec import CardSpec
from ml_assets_tests.cards.made_card import bare_card

from .conftest import HOSTILE
from .test_console_decisions import MODELS


@pytest.fixture
def card(monkeypatch) -> ModelCard:
    """A card of hostile texts in the place of one that is read: how it is read is tested with the project."""
    feature = FeatureFacts(feature=HOSTILE, view=HOSTILE, description=HOSTILE, missing=0.5)
    made = bare_card(
        description=HOSTILE, owners=(HOSTILE,), features=(feature,), statements=CardSpec(purpose=HOSTILE)
    )  # fmt: skip
    monkeypatch.setattr("ml_assets.console.pages.card.page.read_model_card", lambda *_: made)
    return made


def test_the_page_holds_the_card_with_its_sections_and_escapes_it(console, card):
    answer = console(*MODELS).get("/models/returns/card/3")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    for heading in ("Purpose", "Known limits", "Annex IV, point by point"):
        assert f">{heading}</h2>" in answer.text
    assert "not stated" in answer.text
    shown = console(*MODELS).get("/models/returns/card/3?format=json").json()
    assert shown["card"] == card.model_dump(mode="json")


def test_it_can_be_kept_as_a_file(console, card):
    client = console(*MODELS)
    page = client.get("/models/returns/card/3?file=html")
    assert page.headers["content-disposition"] == 'attachment; filename="returns-3.html"'
    assert page.text == card.to_html()
    assert client.get("/models/returns/card/3?file=markdown").text == card.to_markdown()
    assert client.get("/models/returns/card/3?file=pdf").status_code == 400


def test_a_model_or_version_that_is_not_there_says_so(console):
    assert console(*MODELS).get("/models/nobody/card/3").status_code == 404
