"""What becomes of predictions whose features are corrected after they were made."""

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, APRIL, MAY = ["2024-01", "2024-02", "2024-03"], "2024-04", "2024-05"
TABLES = ("orders/raw", "orders/validated", "orders/quarantine", "features/order")
TRAINING = ("training_set", "tuned_parameters", "model", "evaluation", "reference", "champion")
SPLIT = {"validation": "14d", "holdout": "14d", "gap": "2d"}
A_DAY = 10


class Shop:
    def __init__(self, project, delivered, orders):
        self.project, self.delivered, self.orders = project, delivered, orders

    def deliver(self, month, dearer=()):
        """A month's orders; those in `dearer`, by their place, cost 0.5 more than at first."""
        frame = self.orders.of(month, A_DAY)
        chosen = pl.int_range(pl.len()).is_in(list(dearer))
        frame.with_columns(pl.col("amount") + 0.5 * chosen).write_csv(self.delivered / f"{month}.csv")
        return frame

    def train(self, as_of):
        outcome = self.project.run(*(f"returns/{name}" for name in TRAINING), as_of=as_of)
        assert outcome.success, outcome.errors

    def live(self, month, *more, by_condition=False):
        outcome = self.project.run(*TABLES, drops=[month])
        assert outcome.success, outcome.errors
        outcome = self.project.run(
            "returns/predictions", *(f"returns/{name}" for name in more), drops=[month], by_condition=by_condition
        )
        assert outcome.success, outcome.errors
        return outcome

    def predictions(self, month):
        return self.project.lake.scan("returns/predictions").filter(_drop=month).collect().sort("id")

    def versions(self, month):
        return self.predictions(month)["model_version"].unique().sort().to_list()


@pytest.fixture(scope="module")
def shop(make_project, made_up_orders, tmp_path_factory):
    """Three months of history, a champion that has learnt from them, and April scored."""
    delivered = tmp_path_factory.mktemp("delivered")
    project = make_project(*made_up_orders.declared(delivered, split=SPLIT))
    opened = Shop(project, delivered, made_up_orders)
    for month in (*HISTORY, APRIL):
        opened.deliver(month)
    assert project.run(*TABLES, drops=HISTORY).success
    opened.train("2024-04-01")
    opened.live(APRIL)
    return opened


# The tests of this module follow one another in one home.


def test_at_first_nothing_is_marked(shop):
    assert shop.predictions(APRIL)["features_corrected"].to_list() == [False] * 300


def test_a_correction_leaves_what_was_predicted_and_marks_the_rows_whose_features_are_others_now(shop):
    before = shop.predictions(APRIL)
    shop.deliver(APRIL, dearer=[3, 50, 51])
    outcome = shop.live(APRIL, "drift_report", "performance_report", by_condition=True)
    after = shop.predictions(APRIL)
    kept = ["id", "score", "prediction", "model_version", "scored_at", "features_hash"]
    assert after.select(kept).equals(before.select(kept))
    assert after["features_corrected"].arg_true().to_list() == [3, 50, 51]
    told = outcome.metadata("returns/predictions")
    assert (told["kept_rows"], told["features_corrected"]) == (300, 3)
    # Realised performance is that of what was said, by the labels as they are known now.
    performance = shop.project.lake.scan("returns/performance_report").filter(_drop=APRIL).collect()
    realised = performance.filter(kind="realised", metric="roc_auc", scope="period")["value"].item()
    known = shop.orders.of(APRIL, A_DAY).filter(
        pl.col("settled_at") <= pl.lit("2024-05-01").str.to_datetime(time_zone="UTC")
    )
    assert known.height >= 290
    scores = known.join(before, on="id")
    assert realised == pytest.approx(roc_auc_score(scores["returned"], scores["score"]), abs=0.01)


def test_a_correction_that_is_taken_back_leaves_no_mark(shop):
    shop.deliver(APRIL)
    shop.live(APRIL, by_condition=True)
    assert not shop.predictions(APRIL)["features_corrected"].any()


def test_a_row_that_comes_late_is_scored_by_the_version_of_its_drop(shop):
    frame = shop.deliver(APRIL)
    frame.head(280).write_csv(shop.delivered / f"{APRIL}.csv")
    shop.live(APRIL, by_condition=True)
    assert shop.predictions(APRIL).height == 280
    before = shop.predictions(APRIL)
    shop.project.registry.promote("returns", second(shop))
    shop.deliver(APRIL)
    shop.live(APRIL, by_condition=True)
    assert shop.versions(APRIL) == ["1"]
    after = shop.predictions(APRIL)
    assert after.height == 300
    assert after.head(280)["scored_at"].to_list() == before["scored_at"].to_list()


def second(shop):
    """A second version, trained on April as well."""
    shop.train("2024-05-01")
    return "2"


def test_a_champion_does_not_score_again_what_it_has_learnt_from(shop):
    assert shop.project.registry.champion("returns").version == "2"
    shop.live(APRIL)
    assert shop.versions(APRIL) == ["1"]
    shop.deliver(MAY)
    shop.live(MAY)
    assert shop.versions(MAY) == ["2"]


def test_what_is_to_be_recomputed_is_made_anew_where_that_is_declared(shop):
    (declared,) = shop.project.folder.glob("*/defs/shop/defs.yaml")
    declared.write_text(declared.read_text().replace("name: returns", "name: returns\n  after_correction: recompute"))
    again = Shop(type(shop.project)(shop.project.folder), shop.delivered, shop.orders)
    again.deliver(APRIL, dearer=range(300))
    again.live(APRIL, by_condition=True)
    assert again.versions(APRIL) == ["2"]
    assert not again.predictions(APRIL)["features_corrected"].any()
