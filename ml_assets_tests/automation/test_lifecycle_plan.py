import pytest

from ml_assets.automation.execute import run_key
from ml_assets.automation.lifecycle import PlannedRun, plan_lifecycle

DROPS = [f"2013-{month:02}" for month in range(7, 12)]


def test_history_is_one_run_training_the_next_and_each_later_drop_its_own():
    plan = plan_lifecycle("shop", DROPS, "2013-10-01", "monthly")
    assert [(run.job, run.drops, run.as_of) for run in plan] == [
        ("shop_ingest", ("2013-07", "2013-08", "2013-09"), ""),
        ("shop_train", (), "2013-10-01"),
        ("shop_drop", ("2013-10",), ""),
        ("shop_drop", ("2013-11",), ""),
    ]


def test_without_later_drops_the_plan_ends_with_training():
    plan = plan_lifecycle("shop", ["2013-09"], "2013-10-01", "monthly")
    assert [run.job for run in plan] == ["shop_ingest", "shop_train"]


@pytest.mark.parametrize(
    ("grain", "drops", "as_of", "history", "later"),
    [
        ("daily", ["2024-02-29", "2024-03-01"], "2024-03-01", [("2024-02-29",)], ["2024-03-01"]),
        ("weekly", ["2024-02-19", "2024-02-26"], "2024-03-03", [("2024-02-19",)], ["2024-02-26"]),
        ("weekly", ["2024-02-19", "2024-02-26"], "2024-03-04", [("2024-02-19", "2024-02-26")], []),
        (
            "hourly",
            ["2024-03-01T00", "2024-03-01T01"],
            "2024-03-01T02:30+01:00",
            [("2024-03-01T00",)],
            ["2024-03-01T01"],
        ),
    ],
)
def test_history_ends_with_the_last_drop_that_was_over_at_the_cut_off(grain, drops, as_of, history, later):
    plan = plan_lifecycle("shop", drops, as_of, grain)
    assert [run.drops for run in plan if run.job == "shop_ingest"] == history
    assert [run.drops[0] for run in plan if run.job == "shop_drop"] == later


def test_a_run_spans_no_drop_that_was_not_delivered():
    days = ["2024-03-01", "2024-03-04", "2024-03-05"]
    plan = plan_lifecycle("shop", days, "2024-03-06", "daily")
    assert [run.drops for run in plan] == [("2024-03-01",), ("2024-03-04", "2024-03-05"), ()]


@pytest.mark.parametrize("drops", [[], ["2013-10", "2013-11"]])
def test_nothing_to_train_on_is_an_error(drops):
    with pytest.raises(ValueError, match="no drop of shop lies before 2013-10-01"):
        plan_lifecycle("shop", drops, "2013-10-01", "monthly")


def test_the_run_key_is_stable_and_changes_with_everything_that_decides_the_outcome():
    run = PlannedRun("July", "shop_drop", ("2013-07",))
    key = run_key(run, "code", "delivery-a", "before-a")
    assert key == run_key(PlannedRun("another title", "shop_drop", ("2013-07",)), "code", "delivery-a", "before-a")
    others = [
        run_key(PlannedRun("July", "shop_ingest", ("2013-07",)), "code", "delivery-a", "before-a"),
        run_key(PlannedRun("July", "shop_drop", ("2013-08",)), "code", "delivery-a", "before-a"),
        run_key(PlannedRun("July", "shop_drop", ("2013-07",), "2013-08-01"), "code", "delivery-a", "before-a"),
        run_key(run, "code", "delivery-b", "before-a"),
        run_key(run, "code", "delivery-a", "before-b"),
        run_key(run, "other code", "delivery-a", "before-a"),
    ]
    assert len({key, *others}) == 7
