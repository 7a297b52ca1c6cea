import io

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from ml_assets.training import plots
from ml_assets.training.search.plots import _positions, plot_parallel_coordinates, plot_search_history
from ml_assets.training.spec import ParameterRange

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
SCORE = RNG.random(500)
LABEL = RNG.random(500) < SCORE
VALUE = 10 * SCORE + RNG.standard_t(2, 500)
CODES, CALLED = RNG.integers(0, 20, (2, 500))
HISTORY = pl.DataFrame(
    {
        "trial": [0, 1, 2],
        "state": ["complete", "pruned", "complete"],
        "value": [0.6, None, 0.7],
        "depth": [3, 5, 9],
        "rate": [0.01, 0.1, 1.0],
        "kind": ["a", "b", "a"],
        "best_so_far": [0.6, 0.6, 0.7],
    }
)
SPACE = {
    "depth": ParameterRange(low=3, high=9, integer=True),
    "rate": ParameterRange(low=0.01, high=1.0, log=True),
    "kind": ParameterRange(choices=["a", "b"]),
}
IMPORTANCE = pl.DataFrame({"feature": [f"f{i}" for i in range(30)], "importance": [1 / (i + 1) for i in range(30)]})


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_roc(LABEL, SCORE),
        lambda: plots.plot_calibration(LABEL, SCORE),
        lambda: plots.plot_residuals(VALUE, 10 * SCORE),
        lambda: plots.plot_residuals(VALUE, 10 * SCORE, (10 * SCORE - 2, 10 * SCORE + 3)),
        lambda: plots.plot_confusion(CODES, CALLED, [f"class {i}" for i in range(20)]),
        lambda: plots.plot_importance(IMPORTANCE),
        lambda: plot_search_history(HISTORY, "roc_auc"),
        lambda: plot_parallel_coordinates(HISTORY, SPACE, "roc_auc"),
    ],
    ids=["roc", "calibration", "residuals", "intervals", "confusion", "importance", "history", "parallel"],
)
def test_a_plot_is_a_small_png_with_something_on_it(draw):
    png = draw()
    image = imread(io.BytesIO(png), format="png")
    assert len(png) < 40_000
    assert image.shape[1] == 520
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 5


def test_parallel_coordinates_place_values_between_the_ends_of_their_range():
    assert _positions(HISTORY["depth"], SPACE["depth"]).tolist() == pytest.approx([0, 1 / 3, 1])
    assert _positions(HISTORY["rate"], SPACE["rate"]).tolist() == pytest.approx([0, 0.5, 1])
    assert _positions(HISTORY["kind"], SPACE["kind"]).tolist() == [0, 1, 0]
