"""Stored outcomes: counts of what is not known, and which drops could say more as facts come, are corrected or go."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.outcomes.complete import complete_drops, complete_facts
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.files import compute_to_files
from ml_assets.outcomes.pending import due_drops
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.sources.drops.spec import Drops

MOMENT = pl.Datetime("us", "UTC")
AT, BY = OutcomeTimes("asked_at"), ["_drop", "customer", "asked_at"]
US = timedelta(microseconds=1)


def day(number: float) -> datetime:
    return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=number)


# Windows of ten days: those of drop 1 settle on days 10 and 11, that of drop 2 on day 15.
SPINE = pl.DataFrame(
    [("1", "a", day(0)), ("1", "b", day(1)), ("1", "b", day(1)), ("1", None, day(1)), ("2", "a", day(5))],
    schema={"_drop": pl.String, "customer": pl.String, "asked_at": MOMENT},
    orient="row",
)


def orders(*facts: tuple) -> pl.LazyFrame:
    return pl.LazyFrame(facts, schema={"customer": pl.String, "placed_at": MOMENT, "amount": pl.Float64}, orient="row")


FACTS = orders(("a", day(2), 1.0), ("a", day(8), 2.0), ("b", day(10.5), 4.0))


def outcome(**fields) -> OutcomeSpec:
    defaults = {
        "name": "spent", "description": "Spending.", "table": "orders", "entity": ["customer"],
        "happened_at": "placed_at", "window": "10d", "aggregate": {"of": "amount", "functions": ["sum", "count"]},
        "label": "sum",
    }  # fmt: skip
    return OutcomeSpec(**defaults | fields)


@pytest.fixture
def computed(tmp_path):
    def compute(spec: OutcomeSpec, facts: pl.LazyFrame, until: datetime | None, spine: pl.DataFrame = SPINE):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return compute_to_files(spec, spine.lazy(), facts, folder, by=BY, times=AT, complete_until=until)

    return compute


def due(
    spec: OutcomeSpec, stored: pl.LazyFrame, facts: pl.LazyFrame, until: datetime | None, spine: pl.DataFrame = SPINE
) -> dict[str, str]:
    return due_drops(spec, stored, spine.lazy(), facts, AT, partition="_drop", complete_until=until)


def test_one_row_is_stored_for_an_entity_and_moment(computed):
    stored = computed(outcome(), FACTS, day(11)).stored.collect().sort("_drop", "asked_at", "customer")
    assert stored.select(*BY, "sum", "count", "spent", "spent_known_at").rows() == [
        ("1", "a", day(0), 3.0, 2, 3.0, day(10)),
        ("1", None, day(1), None, None, None, day(11)),
        ("1", "b", day(1), 4.0, 1, 4.0, day(11)),
        ("2", "a", day(5), None, None, None, day(15)),
    ]
    assert stored["_complete_until"].unique().to_list() == [day(11)]
    assert stored["_inputs"].n_unique() == 2


def test_what_is_not_known_is_counted(computed):
    counts = computed(outcome(), FACTS.filter(pl.col("customer") == "a"), day(11)).counts
    # The two rows of b have no order, so no sum; the row without a customer has nothing.
    assert (counts.known, counts.pending, counts.undefined, counts.without_entity) == (1, 1, 2, 1)
    assert counts.mean == 3.0
    nothing = computed(outcome(), FACTS, None).counts
    assert (nothing.known, nothing.pending, nothing.mean) == (0, 4, None)
    text = computed(outcome(label="CASE WHEN sum > 3 THEN 'much' ELSE 'little' END"), FACTS, day(30)).counts
    assert (text.known, text.mean) == (4, None)
    assert computed(outcome(label="count > 1"), FACTS, day(30)).counts.mean == 0.25


def test_a_drop_without_rows_has_no_outcomes(tmp_path):
    for number, spec in enumerate([outcome(), outcome(entity=[])]):
        (tmp_path / str(number)).mkdir()
        found = compute_to_files(
            spec, SPINE.head(0).lazy(), FACTS, tmp_path / str(number), by=BY, times=AT, complete_until=day(30)
        )
        assert found.stored.collect().height == found.rows.height == 0
        assert (found.counts.known, found.counts.mean) == (0, None)


def test_a_drop_is_due_when_a_label_of_its_has_settled_since(computed):
    spec, stored = outcome(), computed(outcome(), FACTS, day(10)).stored
    assert due(spec, stored, FACTS, day(10)) == {}
    assert due(spec, stored, FACTS, day(11) - US) == {}
    assert due(spec, stored, FACTS, day(11)) == {"1": f"settled by {day(11).isoformat()}"}
    assert list(due(spec, stored, FACTS, day(15))) == ["1", "2"]
    again = computed(spec, FACTS, day(15)).stored
    assert due(spec, again, FACTS, day(60)) == {}


def test_a_drop_is_due_when_a_fact_that_it_was_computed_from_changes(computed):
    spec, stored = outcome(), computed(outcome(), FACTS, day(15)).stored
    more = pl.concat([FACTS, orders(("c", day(40), 1.0))])
    assert due(spec, stored, more, day(40)) == {}
    corrected = FACTS.with_columns(pl.when(pl.col("placed_at") == day(2)).then(9.0).otherwise("amount").alias("amount"))
    assert list(due(spec, stored, corrected, day(15))) == ["1"]
    removed = FACTS.filter(pl.col("placed_at") != day(10.5))
    assert list(due(spec, stored, removed, day(15))) == ["1", "2"]
    first, second = (due(spec, stored, facts, day(15))["1"] for facts in (corrected, removed))
    assert first != second


def test_a_drop_that_waits_is_due_with_each_new_fact_of_its_windows_if_labels_come_early(computed):
    spec = outcome(label="count >= 1", aggregate={"functions": ["count"]}, early=True)
    before = FACTS.filter(pl.col("placed_at") < day(5))
    stored = computed(spec, before, day(5)).stored
    assert due(spec, stored, before, day(6)) == {}
    assert list(due(spec, stored, FACTS, day(9))) == ["1", "2"]
    assert computed(spec, FACTS, day(9)).counts.known == 2


def test_aggregates_beside_labels_that_were_all_known_early_come_once_they_have_settled(computed):
    spec = outcome(label="count >= 1", aggregate={"functions": ["count"]}, early=True, settles="1d")
    spine = SPINE.filter(pl.col("_drop") == "1", pl.col("customer") == "a")
    stored = computed(spec, FACTS, day(9), spine).stored
    assert stored.select("count", "spent", "spent_known_at").collect().rows() == [(None, True, day(2))]
    assert due(spec, stored, FACTS, day(11) - US, spine) == {}
    # The window ends on day 10 and settles a day later.
    assert due(spec, stored, FACTS, day(11), spine) == {"1": f"settled by {day(11).isoformat()}"}
    again = computed(spec, FACTS, day(11), spine).stored
    assert again.select("count", "spent", "spent_known_at").collect().rows() == [(2, True, day(2))]
    assert due(spec, again, FACTS, day(60), spine) == {}


def test_a_drop_of_another_declaration_is_due(computed):
    stored = computed(outcome(), FACTS, day(15)).stored
    assert due(outcome(window="9d"), stored, FACTS, day(15)) == {"1": "declared otherwise", "2": "declared otherwise"}
    assert due(outcome(description="Said otherwise."), stored, FACTS, day(15)) == {}


@pytest.mark.parametrize(
    ("grain", "zone", "drop", "end"),
    [
        ("daily", "UTC", "2024-03-05", datetime(2024, 3, 6, tzinfo=UTC)),
        ("daily", "America/New_York", "2024-03-05", datetime(2024, 3, 6, tzinfo=UTC)),
        ("daily", "Asia/Tokyo", "2024-03-05", datetime(2024, 3, 5, 15, tzinfo=UTC)),
        ("monthly", "UTC", "2024-02", datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_table_that_is_cut_is_complete_until_the_last_moment_of_its_newest_drop(grain, zone, drop, end):
    facts = FACTS.with_columns(_drop=pl.lit(drop))
    drops = Drops(grain=grain, start="2024-01-01"[: len(drop)], time_zone=zone)
    # A fact at the very end comes with the next drop.
    assert complete_drops(facts, drops).until == end - timedelta(microseconds=1)
    assert complete_drops(facts.head(0), drops).until is None


@pytest.mark.parametrize(
    ("grain", "there", "without_rows", "until"),
    [
        ("monthly", ["2024-01", "2024-03"], ("2024-02",), datetime(2024, 2, 1, tzinfo=UTC)),
        ("monthly", ["2024-02", "2024-03", "2024-05"], ("2024-04",), datetime(2024, 4, 1, tzinfo=UTC)),
        ("daily", ["2024-03-02", "2024-03-05"], ("2024-03-03", "2024-03-04"), datetime(2024, 3, 3, tzinfo=UTC)),
    ],
)
def test_a_table_with_a_drop_missing_is_complete_until_the_drop_before_it(grain, there, without_rows, until):
    drops = Drops(grain=grain, start="2023-01-01"[: len(there[0])])
    facts = pl.concat(FACTS.with_columns(_drop=pl.lit(drop)) for drop in reversed(there))
    found = complete_drops(facts, drops)
    assert (found.until, found.drops_without_rows) == (until - US, without_rows)
    # Where drops may be empty, the one in between was.
    found = complete_drops(facts, drops, empty_drops=True)
    (newest,) = {complete_drops(facts.filter(pl.col("_drop") == there[-1]), drops).until}
    assert (found.until, found.drops_without_rows) == (newest, without_rows)


def test_a_fact_dated_later_than_its_table_was_written_settles_nothing():
    facts = pl.concat([FACTS, orders(("a", datetime(2999, 1, 1, tzinfo=UTC), 1.0))])
    found = complete_facts(outcome(), facts, written_at=day(20))
    assert (found.until, found.facts_ahead) == (day(10.5), 1)
    assert complete_facts(outcome(), FACTS, written_at=day(20)).facts_ahead == 0
    assert complete_facts(outcome(), facts.tail(1), written_at=day(20)).until is None


def test_a_table_that_is_not_cut_is_complete_until_its_newest_fact():
    assert complete_facts(outcome(), FACTS).until == day(10.5)
    assert complete_facts(outcome(), FACTS.head(0)).until is None


@pytest.mark.parametrize("name", ["own", "until", "settled", "waits", "some", "inputs"])
def test_the_column_of_drops_may_have_any_name(computed, name):
    spec, stored = outcome(), computed(outcome(), FACTS, day(10)).stored.rename({"_drop": name})
    spine = SPINE.rename({"_drop": name}).lazy()
    assert list(due_drops(spec, stored, spine, FACTS, AT, partition=name, complete_until=day(11))) == ["1"]
