"""Drift statistics by name; `drift/statistics/statistic.py` has their interface."""

from typing import TYPE_CHECKING

from ml_assets.extensions import Extensions

if TYPE_CHECKING:
    from ml_assets.monitoring.drift.statistics.statistic import DriftStatistic

PSI, RECONSTRUCTION = "psi", "reconstruction_error"

_HERE = "ml_assets.monitoring.drift.statistics"

DRIFT_STATISTICS: "Extensions[DriftStatistic]" = Extensions(
    "ml_assets.drift_statistics",
    "drift statistic",
    {
        PSI: f"{_HERE}.psi:STATISTIC",
        "kolmogorov_smirnov": f"{_HERE}.numbers:KOLMOGOROV_SMIRNOV",
        "jensen_shannon": f"{_HERE}.shares:JENSEN_SHANNON",
        "wasserstein": f"{_HERE}.numbers:WASSERSTEIN",
        "hellinger": f"{_HERE}.shares:HELLINGER",
        "chi2": f"{_HERE}.counts:CHI2",
        "l_infinity": f"{_HERE}.counts:L_INFINITY",
        RECONSTRUCTION: f"{_HERE}.reconstruction:STATISTIC",
    },
    "ml_assets.monitoring.drift.statistics.statistic:DriftStatistic",
)


def declarable(what: str) -> list[str]:
    """Return the names of the statistics that can be declared for ``numeric`` or ``text`` features."""
    return [name for name, statistic in DRIFT_STATISTICS.loadable().items() if getattr(statistic, what)]


def with_own_threshold() -> list[str]:
    """Return the names of the statistics whose threshold can be declared, in the order of the alphabet."""
    return sorted(name for name, statistic in DRIFT_STATISTICS.loadable().items() if statistic.takes_threshold)
