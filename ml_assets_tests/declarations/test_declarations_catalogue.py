"""Tags and owners, which every kind of declaration has."""

import pytest
from pydantic import ValidationError

from ml_assets.declarations.specs import SPECS
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.outcomes.spec import OutcomeSpec

VIEW = {"name": "visits", "description": "Visits.", "spine": "shops", "entity": ["shop"], "request": {"size": "size"}}
FIELDS = {"tags": dict[str, str], "owners": list[str], "description": str}


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("field", FIELDS)
def test_every_kind_says_what_it_is_who_answers_for_it_and_how_it_is_found(kind, field):
    declared = SPECS[kind].model_fields[field]
    assert declared.annotation == FIELDS[field]
    assert declared.description


@pytest.mark.parametrize("tags", [{"domain": "sales"}, {"acme.org/tier": "1"}, {"pilot": ""}])
def test_tags_that_dagster_takes_are_taken(tags):
    from dagster._utils.tags import normalize_tags

    assert SPECS["FeatureView"].model_validate({**VIEW, "tags": tags}).tags == normalize_tags(tags, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": {"two words": "x"}}, "tag 'two words' must be letters"),
        ({"tags": {"tier": "first class"}}, "tag 'tier': 'first class' must be letters"),
        ({"tags": {"tier": "x" * 64}}, "63 at most"),
        ({"tags": {"ml_assets/stage": "x"}}, "tag 'ml_assets/stage' has a namespace that the platform uses"),
        ({"owners": ["data"]}, "owner 'data' must be an e-mail address or team:<name>"),
    ],
)
def test_tags_and_owners_that_dagster_would_refuse_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        SPECS["FeatureView"].model_validate({**VIEW, **changes})


def test_what_is_recorded_with_a_version_has_no_tags():
    # They say nothing of features or outcomes: what is stored of these must not change with them.
    assert not {"tags"} & (set(FeatureViewSpec.model_fields) | set(OutcomeSpec.model_fields))
