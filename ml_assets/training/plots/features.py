"""Which features move a score, drawn."""

import polars as pl

from ml_assets.training.plots.figure import BLUE, as_png, new_figure

_TOP_FEATURES = 20


def plot_importance(importance: pl.DataFrame, unit: str = "mean |SHAP value|, log-odds") -> bytes:
    """Draw the features that move the score most; takes what ``explain`` returns, and ``explain.importance_unit``."""
    top = importance.head(_TOP_FEATURES).reverse()
    figure, axes = new_figure("What moves the score", unit, "")
    figure.set_figheight(1.2 + 0.2 * top.height)
    axes.barh(top["feature"].to_list(), top["importance"].to_list(), color=BLUE)
    axes.tick_params(axis="y", labelsize=7)
    return as_png(figure)
