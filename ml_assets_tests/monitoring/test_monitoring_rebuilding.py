import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml_assets.monitoring.drift.statistics.rebuilding import VARIANCE, Components


def by_scikit_learn(learned: np.ndarray, rows: np.ndarray) -> np.ndarray:
    prepared, pca = make_pipeline(SimpleImputer(), StandardScaler()), PCA(n_components=VARIANCE, random_state=16)
    pca.fit(prepared.fit_transform(learned))
    scaled = prepared.transform(rows)
    return np.linalg.norm(scaled - pca.inverse_transform(pca.transform(scaled)), axis=1)


def drawn(rows: int, features: int, seed: int, missing: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, features)) @ random.normal(size=(features, features))
    values = values * 10.0 ** random.integers(-6, 7, features) + 10.0 ** random.integers(-3, 8, features)
    return np.where(random.random(values.shape) < missing, np.nan, values)


@pytest.mark.filterwarnings("ignore:Skipping features")
@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 400), st.integers(2, 25), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.6]), st.booleans()
)
def test_rows_are_rebuilt_as_scikit_learn_does_to_the_last_bit(rows, features, seed, missing, without):
    learned, later = (np.asfortranarray(drawn(rows, features, seed + i, missing)) for i in range(2))
    learned[:, 0] = 7.3  # a constant one
    if without:
        learned[:, -1] = np.nan
    given_before = learned.copy()
    np.testing.assert_array_equal(Components.learn(learned).errors(later), by_scikit_learn(learned, later))
    np.testing.assert_array_equal(learned, given_before)


def test_many_rows_are_rebuilt_as_scikit_learn_does_to_the_last_bit():
    learned, later = (np.asfortranarray(drawn(20_000, 40, seed, 0.05)) for seed in range(2))
    np.testing.assert_array_equal(Components.learn(learned).errors(later), by_scikit_learn(learned, later))
