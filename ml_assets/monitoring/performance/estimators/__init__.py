"""Ways to estimate performance before labels are known, by the name that a task declares as its ``estimator``."""

from ml_assets.extensions import Extensions
from ml_assets.monitoring.performance.estimators.estimator import PerformanceEstimator

ESTIMATORS: Extensions[PerformanceEstimator] = Extensions(
    "ml_assets.performance_estimators",
    "performance estimator",
    {
        "confidence": "ml_assets.monitoring.performance.estimators.confidence:ESTIMATOR",
        "loss": "ml_assets.monitoring.performance.estimators.loss:ESTIMATOR",
    },
    "ml_assets.monitoring.performance.estimators.estimator:PerformanceEstimator",
)
