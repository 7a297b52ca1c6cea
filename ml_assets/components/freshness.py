"""Freshness as Dagster shows and watches it."""

import dagster as dg

from ml_assets.freshness import Freshness


def freshness_policy(freshness: Freshness) -> dg.FreshnessPolicy:
    """Warn, then fail, by the age of the asset's latest materialization, whichever partition it was of."""
    return dg.FreshnessPolicy.time_window(fail_window=freshness.fail_after, warn_window=freshness.warn_after)
