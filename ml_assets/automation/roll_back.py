"""An earlier champion serves again, and people are told."""

import os
from datetime import datetime

import polars as pl

from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.notifications.channels import channels_from_environment
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.send import notify
from ml_assets.registry.registry import Registry


def roll_back(home: Home, registry: Registry, model: str, to: str | None) -> str:
    """Roll back and say what happened, in one line. It counts from the end of the last drop that was scored.

    Raises:
        LookupError: no champion, no such version, or nothing to go back to.
        ValueError: the version serves already.
    """
    lake, scored = Lake(home.lake), f"{model}/retrain_decision"
    if not lake.exists(scored):
        raise LookupError(f"{model} has decided nothing yet, so there is no moment to roll back from")
    decided = lake.scan(scored).select(pl.col("record").str.json_path_match("$.as_of").max()).collect().item()
    as_of = datetime.fromisoformat(decided)
    served, serves = registry.roll_back(model, as_of=as_of, to=to)
    told = f"{model}: version {serves} serves again instead of version {served}, from {as_of:%Y-%m-%d} on"
    facts = {"model": model, "champion": serves, "before": served}
    # The first channel is the log; the command line says it itself.
    notify(channels_from_environment(os.environ)[1:], Notice("rollback", told, told, facts))
    return told
