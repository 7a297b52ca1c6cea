"""A card made up by hand."""

from ml_assets.cards.card import ModelCard, Provenance


def bare_card(**more) -> ModelCard:
    """A card of a version of which nothing is kept but its registration."""
    origin = Provenance(
        run_id="r1", dagster_run_id=None, code_commit=None, code_changed=False, platform=None, table_versions={},
        location="file:///models/1", parameters={},
    )  # fmt: skip
    bare = {
        "model": "returns", "version": "3", "role": "earlier version", "description": "Whether it comes back.",
        "owners": (), "task": "binary", "kind": "xgboost", "label": "returned", "label_known_at": "settled_at",
        "rows_of": "orders/validated", "trained_as_of": "2024-04-01T00:00:00+00:00", "data": (), "metrics": (),
        "confidence": None, "slices": (), "threshold": None, "calibration": None, "interval_coverage": None,
        "importance": (), "importance_unit": "mean |SHAP value|", "limits": (), "decision": None, "provenance": origin,
    }  # fmt: skip
    return ModelCard(**(bare | more))
