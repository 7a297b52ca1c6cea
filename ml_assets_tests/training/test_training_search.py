import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import optuna
import polars as pl
import pytest

from ml_assets.training.search.search import search_history, search_parameters
from ml_assets.training.search.study_storage import open_storage
from ml_assets.training.spec import ParameterRange, SearchSpec, TrainingSpec

pytestmark = pytest.mark.slow

SPACE = {
    "learning_rate": ParameterRange(low=0.05, high=0.5, log=True),
    "max_depth": ParameterRange(low=1, high=4, integer=True),
    "grow_policy": ParameterRange(choices=["depthwise", "lossguide"]),
}
SEARCH = SearchSpec(trials=8, rows=1_000, max_rounds=40, space=SPACE)
TRAINING = TrainingSpec(threads=1, max_bin=32)


def rows(seed, size=1_200):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"a": rng.normal(size=size), "b": rng.normal(size=size), "kind": rng.choice(["x", "y"], size)})
    odds = frame["a"].to_numpy() * np.where(frame["kind"] == "x", 2, -1) + np.sin(3 * frame["b"].to_numpy())
    return frame.with_columns(y=pl.Series(rng.random(size) < 1 / (1 + np.exp(-odds))))


def search(storage, search=SEARCH, train=None, metric="roc_auc", **options):
    return search_parameters(
        rows(0) if train is None else train,
        rows(1),
        model="m",
        features=["a", "b", "kind"],
        label="y",
        search=search,
        training=TRAINING,
        metric=metric,
        seed=5,
        storage=storage,
        **options,
    )


def url(tmp_path, name="optuna.db"):
    return f"sqlite:///{tmp_path / name}"


def trials(storage, found):
    return search_history(storage, found.study).drop("seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    storage = url(tmp_path_factory.mktemp("undisturbed"))
    seen = []
    found = search(storage, on_trial=lambda *progress: seen.append(progress))
    return found, trials(storage, found), seen


def test_a_search_finds_the_best_trial_and_reports_progress(undisturbed):
    found, history, seen = undisturbed
    best = history.filter(state="complete").sort("value", descending=True).row(0, named=True)
    assert (found.best_value, found.best_rounds) == (best["value"], best["rounds"])
    assert found.parameters == {name: best[name] for name in SPACE}
    assert found.trials == history.height == 8
    assert found.pruned == history.filter(state="pruned").height
    assert [(n, total) for n, total, _ in seen] == [(n, 8) for n in range(1, 9)]
    assert seen[-1][2] == found.best_value
    assert history["best_so_far"][-1] == found.best_value
    assert found.seconds > 0


def test_values_stay_within_the_declared_space(undisturbed):
    _, history, _ = undisturbed
    assert history["learning_rate"].is_between(0.05, 0.5).all()
    assert history["max_depth"].is_in([1, 2, 3, 4]).all()
    assert history["max_depth"].dtype == pl.Int64
    assert set(history["grow_policy"]) == {"depthwise", "lossguide"}


def test_the_best_value_is_what_scikit_learn_measures_for_a_plain_fit(undisturbed):
    import xgboost
    from sklearn.metrics import roc_auc_score

    from ml_assets.training.encoding import Encoding
    from ml_assets.training.sampling.seeded import sample_rows

    found, _, _ = undisturbed
    sample, validation = sample_rows(rows(0), 1_000, 5), rows(1)
    encoding = Encoding.learn(sample, ["a", "b", "kind"])

    def matrix(frame):
        return xgboost.QuantileDMatrix(
            encoding.encode(frame),
            frame["y"].to_numpy(),
            feature_types=["q", "q", "c"],
            enable_categorical=True,
            max_bin=32,
        )

    fixed = {"objective": "binary:logistic", "max_bin": 32, "seed": 5, "nthread": 1}
    booster = xgboost.train({**fixed, **found.parameters}, matrix(sample), num_boost_round=found.best_rounds)
    score = booster.inplace_predict(encoding.encode(validation))
    assert found.best_value == pytest.approx(roc_auc_score(validation["y"], score), abs=1e-6)


def test_finished_trials_are_not_run_again_and_more_trials_go_on(tmp_path, undisturbed):
    expected, history, _ = undisturbed
    storage = url(tmp_path)
    first = search(storage, SEARCH.model_copy(update={"trials": 3}))
    ran = []
    found = search(storage, on_trial=lambda n, *_: ran.append(n))
    assert first.study == found.study
    assert ran == [4, 5, 6, 7, 8]
    assert found.parameters == expected.parameters
    assert trials(storage, found).equals(history)
    search(storage, on_trial=lambda n, *_: ran.append(n))
    assert ran == [4, 5, 6, 7, 8]


def test_a_trial_left_running_by_a_dead_process_does_not_count(tmp_path, undisturbed):
    expected, history, _ = undisturbed
    storage = url(tmp_path)
    first = search(storage, SEARCH.model_copy(update={"trials": 1}))
    optuna.load_study(study_name=first.study, storage=open_storage(storage)).ask()
    found = search(storage)
    assert (found.trials, found.parameters) == (8, expected.parameters)
    assert trials(storage, found).equals(history)


def test_a_trial_that_two_processes_ran_counts_once(tmp_path, undisturbed):
    expected, history, _ = undisturbed
    storage = url(tmp_path)
    first = search(storage, SEARCH.model_copy(update={"trials": 2}))
    study = optuna.load_study(study_name=first.study, storage=open_storage(storage))
    study.add_trial(study.trials[1])
    found = search(storage)
    assert (found.trials, found.parameters) == (8, expected.parameters)
    assert trials(storage, found).equals(history)


CHILD = """
    import importlib.util, sys
    spec = importlib.util.spec_from_file_location("test_training_search", sys.argv[1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    tests.search(sys.argv[2], on_trial=lambda n, *_: print(n, flush=True))
"""


def start(storage):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), __file__, storage]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_one_process_killed_while_a_second_one_searches_changes_nothing(tmp_path, undisturbed):
    expected, history, _ = undisturbed
    storage = url(tmp_path)
    doomed, survivor = start(storage), start(storage)
    doomed.stdout.readline()
    os.kill(doomed.pid, signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL
    survivor.communicate(timeout=60)
    assert survivor.returncode == 0
    found = search(storage, on_trial=lambda *_: pytest.fail("the survivor had not finished"))
    assert found.parameters == expected.parameters
    assert trials(storage, found).equals(history)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": rows(3)},
        {"search": SEARCH.model_copy(update={"max_rounds": 39})},
        {"search": SEARCH.model_copy(update={"space": {"max_depth": SPACE["max_depth"]}})},
        {"metric": "log_loss"},
    ],
    ids=["data", "settings", "space", "metric"],
)
def test_other_data_or_another_declaration_is_another_study(tmp_path, undisturbed, changes):
    changes.setdefault("search", SEARCH)
    changes["search"] = changes["search"].model_copy(update={"trials": 1})
    assert search(url(tmp_path), **changes).study != undisturbed[0].study


def test_a_metric_to_minimise_takes_the_smallest_value(tmp_path):
    storage = url(tmp_path)
    found = search(storage, SEARCH.model_copy(update={"trials": 4, "pruning": False}), metric="log_loss")
    assert found.pruned == 0
    assert found.best_value == search_history(storage, found.study)["value"].min()


def test_pruning_stops_a_hopeless_trial(tmp_path):
    space = {"learning_rate": ParameterRange(choices=[1e-9, 0.3])}
    search_spec = SEARCH.model_copy(update={"trials": 12, "space": space})
    storage = url(tmp_path)
    found = search(storage, search_spec, metric="log_loss")
    history = search_history(storage, found.study)
    assert found.parameters == {"learning_rate": 0.3}
    assert found.pruned >= 1
    assert set(history.filter(state="pruned")["learning_rate"]) == {1e-9}
    assert history.filter(state="pruned")["value"].null_count() == found.pruned
