"""mlforecast on the entries of stations, a model for each horizon.

Run `.venv-peers/bin/python benchmarks/peers/mlforecast_entries.py ENTRIES LEARNT FIRST LAST OUTPUT`. ENTRIES is a CSV
file with the columns station, day, riders and holiday (0 or 1). It learns from days up to LEARNT and forecasts, on each
day from FIRST to LAST at three in the morning, when the day before is counted last, the next day, the day in a week and
the day in four weeks. OUTPUT gets the columns station, made_on, day, mlforecast.
"""

import sys

import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import LocalStandardScaler
from sklearn.ensemble import HistGradientBoostingRegressor

AHEAD = (1, 7, 28)
STEPS = [days + 1 for days in AHEAD]
"""Steps from the day that was counted last."""
WEEKDAYS = [lag for week in (7, 14, 21, 28) for lag in (week - 1, week)]
"""Those of the days that are forecast, the next one and the others."""
LAGS = [1, *WEEKDAYS, *(365 - step for step in STEPS)]
NAMES = {"id_col": "station", "time_col": "day", "target_col": "riders"}
CALENDAR = ["weekday", "month", "day_of_year", "holiday"]
"""Of the day that is forecast: mlforecast's own date features are those of the first step."""


def main(entries: str, learnt: str, first: str, last: str, output: str) -> None:
    """Learn once, forecast every day."""
    counts = pd.read_csv(entries, parse_dates=["day"]).sort_values(["station", "day"])
    days = counts["day"].dt
    counts = counts.assign(weekday=days.dayofweek, month=days.month, day_of_year=days.dayofyear)
    counts["number"] = counts["station"].astype("category").cat.codes
    model = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=100, random_state=0, categorical_features=["number"]
    )
    forecaster = MLForecast(
        models={"mlforecast": model},
        freq="D",
        lags=LAGS,
        lag_transforms={1: [RollingMean(7), RollingMean(28)]},
        target_transforms=[LocalStandardScaler()],
    )
    forecaster.fit(counts[counts["day"] <= learnt], static_features=["number"], horizons=STEPS, **NAMES)
    parts, counted = [], pd.Timestamp(learnt)
    for made_on in pd.date_range(first, last):
        forecaster.update(counts[(counts["day"] > counted) & (counts["day"] < made_on)])
        counted = made_on - pd.Timedelta(days=1)
        ahead = counts.loc[counts["day"] >= made_on, ["station", "day", *CALENDAR]]
        parts.append(forecaster.predict(max(STEPS), X_df=ahead).assign(made_on=made_on))
    made = pd.concat(parts)[["station", "made_on", "day", "mlforecast"]]
    made.to_csv(output, index=False, date_format="%Y-%m-%d")


if __name__ == "__main__":
    main(*sys.argv[1:])
