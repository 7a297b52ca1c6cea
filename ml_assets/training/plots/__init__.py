"""Plots of a model and of its search, PNG bytes each."""

from ml_assets.training.plots.features import plot_importance
from ml_assets.training.plots.scores import plot_calibration, plot_confusion, plot_residuals, plot_roc

__all__ = ["plot_calibration", "plot_confusion", "plot_importance", "plot_residuals", "plot_roc"]
