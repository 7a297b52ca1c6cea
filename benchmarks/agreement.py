"""Whether the plain script and the platform mean the same: the declaration, every feature, the labels.

The plain script shares no code with the platform, so where both give the same values for a year of real flights,
each is a witness for the other.
"""

from dataclasses import dataclass
from pathlib import Path

import plain_features
import plain_script
import polars as pl
import yaml

import ml_assets
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.training.spec import LabelSpec, SearchSpec, SplitSpec, TrainingSpec

DECLARED = Path(ml_assets.__file__).parent / "defs" / "flights"
TOLERANCE = 1e-9
"""Accepted difference of two floating-point values, relative to the larger one."""


@dataclass(frozen=True)
class Difference:
    """One column in which the two disagree: in how many rows, how far, and the first of them.

    `largest` is the largest difference relative to the larger value, None where one of the two has no number.
    """

    column: str
    rows: int
    largest: float | None
    flight: str
    platform: object
    plain: object


def declared_views() -> list[FeatureViewSpec]:
    """The feature views of the flights' model, in its order."""
    documents = yaml.safe_load_all((DECLARED / "features" / "defs.yaml").read_text())
    views = {document["attributes"].pop("name"): document["attributes"] for document in documents}
    fields = FeatureViewSpec.model_fields
    return [
        FeatureViewSpec(name=name, **{k: v for k, v in views[name].items() if k in fields})
        for name in _declared_model()["features"]
    ]


def declaration_gaps() -> list[str]:
    """Settings in which the plain script does other work than the declared model; empty if the comparison is fair."""
    model = _declared_model()
    search, training = SearchSpec(**model.get("search", {})), TrainingSpec(**model.get("training", {}))
    split = SplitSpec(**model["split"])
    days = {name: f"{getattr(plain_script, name.upper()).days}d" for name in ("validation", "holdout", "gap")}
    pairs = {
        "trials": (search.trials, plain_script.TRIALS),
        "rows a trial sees": (search.rows, plain_script.SEARCH_ROWS),
        "rounds of a trial": (search.max_rounds, plain_script.SEARCH_ROUNDS),
        "rounds of the fit": (training.max_rounds, plain_script.ROUNDS),
        "early stopping": (training.early_stopping_rounds, plain_script.EARLY_STOPPING_ROUNDS),
        "bins": (training.max_bin, plain_script.MAX_BIN),
        "fixed parameters": (training.parameters, {}),
        "seed": (model["seed"], plain_script.SEED),
        "metric": (model["metric"], "roc_auc"),
        "label": (LabelSpec(**model["label"]), LabelSpec(column="is_late", known_at="arrived_at")),
        **{name: (getattr(split, name), length) for name, length in days.items()},
    }
    return [f"{name}: declared {ours}, plain script {plain}" for name, (ours, plain) in pairs.items() if ours != plain]


def compare_features(home: Path) -> tuple[list[Difference], int, int]:
    """Compute every feature the plain way and compare it with the tables of a home, row by row.

    Returns:
        Columns that differ, then the numbers of columns and rows compared.

    Raises:
        ValueError: the two have other flights, other features, or features in another order.
    """
    tables = plain_features.build_tables(plain_features.read_files())
    plain = plain_features.build_features(tables)
    stored = _stored(Lake(str(home / "lake")), plain["drop_month"].unique())
    names = [name for name in plain.columns if name not in plain_features.KEYS]
    features = [feature for view in declared_views() for feature in view.feature_names]
    if names != features:
        raise ValueError(f"the plain script has other features than declared: {sorted(set(names) ^ set(features))}")
    plain = plain.join(stored.select("flight_id"), on="flight_id", how="semi").sort("flight_id")
    if not plain["flight_id"].equals(stored["flight_id"]):
        raise ValueError(f"{home} holds {stored.height:,} flights, of which the plain script knows {plain.height:,}")
    columns = [name for name in plain.columns if name != "flight_id"]
    found = [_difference(stored["flight_id"], stored[name], plain[name]) for name in columns]
    return [difference for difference in found if difference is not None], len(columns), plain.height


def _declared_model() -> dict:
    return yaml.safe_load((DECLARED / "flight_delay" / "defs.yaml").read_text())["attributes"]


def _stored(lake: Lake, drops: pl.Series) -> pl.DataFrame:
    """All flights of the home with the features that a model would get, by flight."""
    views = declared_views()
    keys = [column for view in views for column in view.spine_columns]
    legs = lake.scan("flight_legs").filter(pl.col("drop_month").is_in(drops.implode()))
    spine = legs.select(*dict.fromkeys([*plain_features.KEYS, *keys])).collect()
    held = [
        ViewTables(view, lake.scan(f"features/{view.name}"), view.table and lake.scan(view.table)) for view in views
    ]
    return join_features(spine, held, time="prediction_at").sort("flight_id")


def _difference(flights: pl.Series, stored: pl.Series, plain: pl.Series) -> Difference | None:
    number = stored.dtype.is_numeric() or stored.dtype == pl.Boolean
    kind = pl.Float64 if number else stored.dtype
    pair = pl.DataFrame({"flight": flights, "platform": stored.cast(kind), "plain": plain.cast(kind)})
    apart = pl.lit(None, pl.Float64)
    if number:
        apart = (pl.col("platform") - pl.col("plain")).abs() / pl.max_horizontal(pl.col("platform", "plain").abs())
    differs = pl.col("platform").ne_missing(pl.col("plain")) & (apart > TOLERANCE).fill_null(True)
    differing = pair.with_columns(apart=apart).filter(differs)
    if differing.is_empty():
        return None
    first = differing.row(0, named=True)
    return Difference(
        column=stored.name,
        rows=differing.height,
        largest=differing["apart"].max(),
        flight=first["flight"],
        platform=first["platform"],
        plain=first["plain"],
    )
