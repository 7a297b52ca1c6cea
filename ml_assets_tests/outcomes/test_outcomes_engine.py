"""Outcomes against worked examples, and against a look at every fact by hypothesis."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.outcomes.audit import differing_outcomes
from ml_assets.outcomes.engine import compute
from ml_assets.outcomes.engine.compute import (
    compute_outcomes,
    compute_outcomes_in_parts,
    compute_outcomes_together,
)
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.spec import OutcomeSpec

MOMENT = pl.Datetime("us", "UTC")
US = timedelta(microseconds=1)
START = datetime(2024, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=400)
AT = OutcomeTimes("asked_at")


def day(days: float) -> datetime:
    return START + timedelta(days=days)


def rows(*moments: tuple) -> pl.DataFrame:
    return pl.DataFrame(moments, schema={"customer": pl.String, "asked_at": MOMENT}, orient="row")


def orders(*facts: tuple, columns: str = "customer placed_at amount known_at") -> pl.DataFrame:
    names = columns.split()
    width = len(facts[0]) if facts else len(names)
    schema = {"customer": pl.String, "placed_at": MOMENT, "amount": pl.Float64, "known_at": MOMENT, "kind": pl.String}
    return pl.DataFrame(facts, schema={name: schema[name] for name in names[:width]}, orient="row")


def outcome(**fields) -> OutcomeSpec:
    defaults = {
        "name": "churned", "description": "No order.", "table": "orders", "entity": ["customer"],
        "happened_at": "placed_at", "window": "10d",
    }  # fmt: skip
    if "aggregates" not in fields:
        defaults |= {"aggregate": {"functions": ["count"]}, "label": "count == 0"}
    return OutcomeSpec(**defaults | fields)


def computed(spec: OutcomeSpec, spine: pl.DataFrame, facts: pl.DataFrame, until: datetime | None = LATER) -> dict:
    return compute_outcomes(spec, spine, facts.lazy(), AT, until).to_dict(as_series=False)


def test_a_window_is_open_where_it_begins_and_closed_where_it_ends():
    facts = orders(("a", day(0)), ("a", day(0) + US), ("b", day(10)), ("c", day(10) + US), columns="customer placed_at")
    found = computed(outcome(), rows(("a", day(0)), ("b", day(0)), ("c", day(0)), ("a", day(0) + US)), facts)
    assert found["count"] == [1, 1, 0, 0]
    assert found["churned"] == [False, False, True, True]
    assert found["churned_known_at"] == [day(10), day(10), day(10), day(10) + US]


def test_every_function_on_a_worked_example():
    facts = orders(
        ("a", day(1), 2.0), ("a", day(2), None), ("a", day(2), float("nan")), ("a", day(3), 4.0), ("a", day(3), 9.0),
        ("b", day(4), None),
    )  # fmt: skip
    functions = ["count", "sum", "mean", "min", "max", "first", "last", "time_to_first"]
    spec = outcome(
        aggregates={"paid": {"of": "amount", "functions": functions}, "orders": {"functions": ["time_to_first"]}},
        label="paid_sum",
    )
    found = computed(spec, rows(("a", day(0.5)), ("b", day(0)), ("z", day(0)), (None, day(0))), facts)
    assert found == {
        "paid_count": [3, 0, 0, None],
        "paid_sum": [15.0, None, None, None],
        "paid_mean": [5.0, None, None, None],
        "paid_min": [2.0, None, None, None],
        "paid_max": [9.0, None, None, None],
        "paid_first": [2.0, None, None, None],
        "paid_last": [9.0, None, None, None],
        "paid_time_to_first": [43_200.0, None, None, None],
        "paid_time_to_first_censored": [False, True, True, None],
        "orders_time_to_first": [43_200.0, 4 * 86_400.0, None, None],
        "orders_time_to_first_censored": [False, False, True, None],
        "churned": [15.0, None, None, None],
        "churned_known_at": [day(10.5), day(10), day(10), day(10)],
    }


def test_of_facts_of_one_moment_the_smallest_is_the_first_and_the_largest_the_last():
    facts = orders(("a", day(1), "x"), ("a", day(1), "b"), ("a", day(1), None), columns="customer placed_at kind")
    spec = outcome(aggregates={"k": {"of": "kind", "functions": ["first", "last"]}}, label="k_first")
    for shuffled in (facts, facts.reverse()):
        found = computed(spec, rows(("a", day(0))), shuffled)
        assert (found["k_first"], found["k_last"], found["churned"]) == (["b"], ["x"], ["b"])


def test_a_label_is_null_until_its_window_has_settled():
    facts = orders(("a", day(1)), columns="customer placed_at")
    spec, spine = outcome(settles="2d"), rows(("a", day(0)), ("b", day(1)))
    assert computed(spec, spine, facts, day(12) - US)["churned"] == [None, None]
    found = computed(spec, spine, facts, day(12))
    assert (found["churned"], found["count"]) == ([False, None], [1, None])
    assert found["churned_known_at"] == [day(12), day(13)]
    assert computed(spec, spine, facts, None)["churned"] == [None, None]


def test_what_becomes_known_after_the_label_has_settled_is_counted_and_not_used():
    facts = orders(
        ("a", day(1), 1.0, day(1)), ("a", day(10), 2.0, day(12)), ("a", day(10), 4.0, day(12) + US),
        ("b", day(3), 8.0, day(90)), ("b", day(3), 16.0, None),
    )  # fmt: skip
    spec = outcome(known_at="known_at", settles="2d", aggregate={"of": "amount", "functions": ["sum"]}, label="sum")
    spine = rows(("a", day(0)), ("a", day(1)), ("b", day(0)), ("b", day(0)), ("c", day(0)))
    assert computed(spec, spine, facts)["churned"] == [3.0, 6.0, None, None, None]
    parts = list(compute_outcomes_in_parts([spec], spine.lazy(), facts.lazy(), AT, LATER))
    # One of the first row, one of the two equal rows of b.
    assert sum(part.too_late for part in parts) == 2


def test_a_condition_leaves_facts_out():
    facts = orders(("a", day(1), 5.0), ("a", day(2), 50.0))
    assert computed(outcome(where="amount > 10"), rows(("a", day(0))), facts)["count"] == [1]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("paid_sum / due_count", [5.0, None, None]),
        ("paid_sum / due_count > 1", [True, None, None]),
        ("paid_count / due_count", [1.0, None, None]),
        ("LN(due_count)", [0.0, None, None]),
    ],
)
def test_a_label_that_is_no_finite_number_is_undefined(label, expected):
    facts = orders(("a", day(1), 5.0), ("b", day(1), -3.0))
    paid, due = {"of": "amount", "functions": ["sum", "count"]}, {
        "of": "NULLIF(GREATEST(amount, 0), 0)", "functions": ["count"],
    }  # fmt: skip
    spec = outcome(aggregates={"paid": paid, "due": due}, label=label)
    spine = rows(("a", day(0)), ("b", day(0)), ("z", day(0)))
    found = compute_outcomes(spec, spine, facts.lazy(), AT, LATER)
    assert found["churned"].to_list() == expected
    assert differing_outcomes(spec, spine, found, facts.lazy(), AT, LATER).is_empty()


def test_a_table_without_an_entity_is_about_every_row():
    facts = orders(("a", day(1), 1.0, day(30)), ("b", day(2), 1.0, day(2)))
    spec = outcome(entity=[], known_at="known_at")
    assert computed(spec, rows(("x", day(0)), (None, day(1))), facts)["count"] == [1, 1]


def test_the_window_of_a_row_that_looks_ahead_ends_where_it_looks():
    facts = orders(*(("a", day(number)) for number in range(20)), columns="customer placed_at")
    spine = rows(("a", day(0)), ("a", day(0))).with_columns(target_at=pl.Series([day(7), day(14)], dtype=MOMENT))
    spec = outcome(window="3d", aggregate={"functions": ["count", "time_to_first"]}, label="count")
    found = compute_outcomes(spec, spine, facts.lazy(), OutcomeTimes("asked_at", "target_at"), LATER)
    # Of days 5, 6 and 7, and of 12, 13 and 14; counted from the row's own time.
    assert found["count"].to_list() == [3, 3]
    assert found["time_to_first"].to_list() == [5 * 86_400.0, 12 * 86_400.0]
    assert found["churned_known_at"].to_list() == [day(7), day(14)]


def looking_ahead(start: datetime, wall: tuple[int, int], zone: str, days: int, count: int) -> pl.DataFrame:
    """Make a row a day at a wall-clock time of a zone, each looking some days ahead on the clock."""
    first = start.replace(tzinfo=ZoneInfo(zone), hour=wall[0], minute=wall[1])
    shown = [first + timedelta(days=number) for number in range(count + days)]
    # A skipped time is the first moment after, one that is shown twice the later of the two.
    moments = [
        pl.Series([at.replace(tzinfo=None)]).dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").item()
        or at.replace(hour=3, minute=0)
        for at in shown
    ]
    moments = [moment.astimezone(UTC) for moment in moments]
    return rows(*(("a", moment) for moment in moments[:count])).with_columns(
        target_at=pl.Series(moments[days:], dtype=MOMENT)
    )


@pytest.mark.parametrize("start", [datetime(2024, 3, 25), datetime(2024, 10, 21)])
@pytest.mark.parametrize(("wall", "days"), [((6, 0), 1), ((6, 0), 3), ((2, 30), 3), ((0, 0), 7)])
def test_windows_of_a_day_partition_the_facts_when_the_clocks_change(start, wall, days):
    spine = looking_ahead(start, wall, "Europe/Paris", days, 12)
    every = pl.datetime_range(day(0).replace(month=3), day(0).replace(month=12), "10m", time_zone="UTC", eager=True)
    facts = pl.DataFrame({"customer": "a", "placed_at": every.cast(MOMENT)})
    times = OutcomeTimes("asked_at", "target_at", "Europe/Paris")
    spec = outcome(window="1d", aggregate={"functions": ["count"]}, label="count")
    ends = spine["target_at"].to_list()
    # The window before the first row's ends a day of the clock earlier.
    first = (
        spine["asked_at"][0] if days == 1 else looking_ahead(start, wall, "Europe/Paris", days - 1, 1)["target_at"][0]
    )
    expected = [(end - begin) // timedelta(minutes=10) for begin, end in pairwise([first, *ends])]
    assert {23, 25} & {count / 6 for count in expected} or wall == (2, 30)
    found = compute_outcomes(spec, spine, facts.lazy(), times, LATER)
    assert found["churned"].to_list() == expected
    assert differing_outcomes(spec, spine, found, facts.lazy(), times, LATER).is_empty()


@pytest.mark.parametrize("window", ["7d", "1d", "36h"])
@pytest.mark.parametrize("known_at", [None, "known_at"])
def test_a_window_as_long_as_a_horizon_begins_at_the_row(window, known_at):
    zone, t = ZoneInfo("Europe/Paris"), datetime(2024, 3, 25, 5, tzinfo=UTC)
    # Monday at six is an hour earlier once the clocks have gone forward.
    spine = rows(("a", t)).with_columns(target_at=pl.Series([datetime(2024, 4, 1, 6, tzinfo=zone)]).cast(MOMENT))
    end = datetime(2024, 4, 1, 4, tzinfo=UTC)
    begin = {"7d": t, "1d": datetime(2024, 3, 31, 4, tzinfo=UTC), "36h": end - timedelta(hours=36)}[window]
    late = (begin + timedelta(hours=1), 64.0, LATER)
    edges = [(begin, 1.0, begin), (begin + US, 2.0, begin + US), (end, 4.0, end), (end + US, 8.0, end + US), late]
    facts = orders(*(("a", *fact) for fact in edges))
    times = OutcomeTimes("asked_at", "target_at", "Europe/Paris")
    spec = outcome(window=window, known_at=known_at, aggregate={"of": "amount", "functions": ["sum"]}, label="sum")
    found = compute_outcomes(spec, spine, facts.lazy(), times, LATER)
    assert found["churned"].to_list() == [6.0 if known_at else 70.0]
    assert found["churned_known_at"].to_list() == [end]
    assert differing_outcomes(spec, spine, found, facts.lazy(), times, LATER).is_empty()


def test_a_window_longer_than_a_row_looks_ahead_is_refused():
    spine = rows(("a", day(0))).with_columns(target_at=pl.Series([day(1)], dtype=MOMENT))
    times = OutcomeTimes("asked_at", "target_at")
    with pytest.raises(
        OutcomeError, match="outcome 'churned': its window of 7d is longer than a row at 2024-03-01T00:00"
    ):
        compute_outcomes(outcome(window="7d"), spine, orders(("a", day(0), 1.0)).lazy(), times, LATER)


@pytest.mark.parametrize(
    ("spine", "message"),
    [
        (
            rows(("a", day(0))).drop("customer"),
            "outcome 'churned': the rows have no column 'customer' (they have asked_at)",
        ),
        (rows(("a", day(0))).drop("asked_at"), "outcome 'churned': the rows have no column 'asked_at'"),
        (rows(("a", None)), "outcome 'churned': the rows have no moment in column 'asked_at' in 1 of them"),
        (
            rows(("a", day(0))).with_columns(pl.col("asked_at").dt.replace_time_zone(None)),
            "column 'asked_at', not Datetime",
        ),
    ],
)
def test_rows_without_entity_or_moment_are_refused_in_words_of_the_outcome(spine, message):
    with pytest.raises(OutcomeError) as raised:
        computed(outcome(), spine, orders(("a", day(1), 5.0)))
    assert message in str(raised.value)
    assert "__" not in str(raised.value)


def test_an_early_label_is_known_with_the_fact_that_settles_it():
    facts = orders(("a", day(1), 1.0, day(3)), ("a", day(2), 1.0, day(2)), ("b", day(9), 1.0, day(11)))
    spec = outcome(known_at="known_at", settles="2d", early=True)
    found = computed(spec, rows(("a", day(0)), ("b", day(0)), ("c", day(0))), facts, day(11))
    assert found["churned"] == [False, False, None]
    assert found["churned_known_at"] == [day(2), day(11), day(12)]
    assert found["count"] == [None, None, None]
    assert computed(spec, rows(("b", day(0))), facts, day(11) - US)["churned"] == [None]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"happened_at": "when"}, "outcome 'churned': table 'orders' has no column 'when'"),
        ({"happened_at": "amount"}, "column 'amount' is Float64, not"),
        ({"where": "amount > AVG(amount)"}, "outcome 'churned', 'where': `amount > AVG(amount)` gives a row a value"),
        (
            {"aggregate": {"of": "customer", "functions": ["sum"]}, "label": "sum"},
            "aggregate.of: `customer` is String, of which there is no sum",
        ),
        ({"label": "count == MAX(count)"}, "depends on other rows"),
    ],
)
def test_what_cannot_be_computed_is_refused(fields, message):
    facts = orders(("a", day(1), 5.0), ("a", day(2), 50.0))
    with pytest.raises(OutcomeError) as raised:
        computed(outcome(**fields), rows(("a", day(0)), ("b", day(0))), facts)
    assert message in str(raised.value)


# Few moments, close together and to the microsecond, so that ties and edges are the rule.
MOMENTS = st.integers(0, 12).flatmap(lambda days: st.sampled_from([day(days), day(days) + US, day(days) - US]))
CUSTOMERS = st.sampled_from(["a", "b", "c", None])
NUMBERS = st.sampled_from([None, 0.0, -1.5, 2.25, 7.0, 1e9, -1e9, float("nan")])
FACTS = st.lists(st.tuples(CUSTOMERS, MOMENTS | st.none(), NUMBERS, MOMENTS | st.none()), max_size=12)
SPINES = st.lists(st.tuples(st.sampled_from(["a", "b", "z", None]), MOMENTS), min_size=1, max_size=6)
PLAIN = {"of": "amount", "functions": ["count", "sum", "mean", "min", "max", "first", "last", "time_to_first"]}
LABELS = ["paid_sum", "paid_count == 0", "rows_count > 1", "paid_max - paid_min", "paid_time_to_first_censored"]
EARLY = ["paid_count == 0", "NOT (1 <= rows_count)", "paid_max > 2", "paid_max = 0", "2 >= paid_min", "paid_min <> 0"]
FIRST = ["paid_first > 1", "paid_time_to_first < 86400", "paid_time_to_first_censored"]


@st.composite
def declarations(draw) -> OutcomeSpec:
    early, known_at = draw(st.booleans()), draw(st.sampled_from([None, "known_at"]))
    settles = draw(st.sampled_from([None, "1d", "3d"]))
    in_order = known_at is None and settles is None
    return outcome(
        known_at=known_at,
        settles=settles,
        early=early,
        window=draw(st.sampled_from(["1d", "4d"])),
        where=draw(st.sampled_from([None, "amount >= 0"])),
        entity=draw(st.sampled_from([["customer"], []])),
        aggregates={"paid": PLAIN, "rows": {"functions": ["count"]}},
        label=draw(st.sampled_from((EARLY + FIRST * in_order) if early else LABELS)),
    )


@settings(max_examples=60, deadline=None)
@given(declarations(), SPINES, FACTS, MOMENTS | st.just(LATER) | st.none(), st.sampled_from([1, 5, 1000]))
def test_outcomes_are_what_a_look_at_every_fact_gives(spec, spine, facts, until, rows_in_memory):
    spine, facts = rows(*spine), orders(*facts)
    check_against_every_fact([spec], spine, facts, until, rows_in_memory)


def check_against_every_fact(
    specs: list[OutcomeSpec], spine: pl.DataFrame, facts: pl.DataFrame, until: datetime | None, rows_in_memory: int
) -> None:
    parts = list(compute_outcomes_in_parts(specs, spine.lazy(), facts.lazy(), AT, until, rows_in_memory=rows_in_memory))
    assert {part.name for part in parts} == {spec.name for spec in specs}
    for spec in specs:
        own = [part for part in parts if part.name == spec.name]
        together, found = pl.concat(part.rows for part in own), pl.concat(part.outcomes for part in own)
        assert sorted(together.rows(), key=str) == sorted(spine.rows(), key=str)
        differing = differing_outcomes(spec, together, found, facts.lazy(), AT, until)
        assert differing.is_empty(), differing
        assert sum(part.too_late for part in own) == _too_late(spec, spine, facts)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(declarations(), min_size=2, max_size=4),
    SPINES,
    FACTS,
    MOMENTS | st.just(LATER),
    st.sampled_from([5, 1000]),
)
def test_outcomes_that_are_computed_together_are_what_each_is_alone(specs, spine, facts, until, rows_in_memory):
    specs = [outcome(**spec.model_dump() | {"name": f"outcome_{place}"}) for place, spec in enumerate(specs)]
    spine, facts = rows(*spine), orders(*facts)
    check_against_every_fact(specs, spine, facts, until, rows_in_memory)
    together = compute_outcomes_together(specs, spine, facts.lazy(), AT, until)
    for spec in specs:
        # To the last bit: sums do not depend on the facts around a window.
        assert together[spec.name].equals(compute_outcomes(spec, spine, facts.lazy(), AT, until))


def test_outcomes_of_the_same_facts_take_one_pass(monkeypatch):
    passes = []

    def counting(view, *arguments, **options):
        passes.append(view)
        return compute_features_in_parts(view, *arguments, **options)

    monkeypatch.setattr(compute, "compute_features_in_parts", counting)
    specs = [outcome(name=f"within_{days}", window=f"{days}d", settles=f"{days}h") for days in (1, 7, 28)]
    specs.append(outcome(name="large", where="amount > 10"))
    facts = orders(("a", day(1), 5.0), ("a", day(5), 50.0), ("a", day(20), 5.0))
    found = compute_outcomes_together(specs, rows(("a", day(0))), facts.lazy(), AT, LATER)
    assert {name: frame["count"].item() for name, frame in found.items()} == {
        "within_1": 1, "within_7": 2, "within_28": 3, "large": 1,
    }  # fmt: skip
    assert found["within_7"]["within_7_known_at"].item() == day(7) + timedelta(hours=7)
    assert len(passes) == 2


@pytest.mark.parametrize("horizons", [[7, 28], [7]])
def test_outcomes_that_look_ahead_are_computed_together(horizons):
    zone, t = ZoneInfo("Europe/Paris"), datetime(2024, 3, 25, 5, tzinfo=UTC)
    ends = [(t.astimezone(zone) + timedelta(days=ahead)).astimezone(UTC) for ahead in horizons]
    spine = rows(*(("a", t) for _ in ends)).with_columns(target_at=pl.Series(ends, dtype=MOMENT))
    every = pl.datetime_range(t, t + timedelta(days=40), "7h", time_zone="UTC", eager=True)
    facts = pl.DataFrame({"customer": "a", "placed_at": every.cast(MOMENT)})
    times = OutcomeTimes("asked_at", "target_at", "Europe/Paris")
    specs = [outcome(name=f"last_{window}", window=window) for window in ("1d", "36h", "7d")]
    together = compute_outcomes_together(specs, spine, facts.lazy(), times, LATER)
    for spec in specs:
        found = together[spec.name]
        assert differing_outcomes(spec, spine, found, facts.lazy(), times, LATER).is_empty()


def test_what_is_wrong_with_one_of_several_is_said_of_it():
    fine, wrong = outcome(name="fine"), outcome(
        name="wrong", aggregate={"of": "customer", "functions": ["sum"]}, label="sum"
    )  # fmt: skip
    facts = orders(("a", day(1), 5.0))
    with pytest.raises(OutcomeError, match=r"outcome 'wrong', aggregate\.of: `customer` is String") as raised:
        compute_outcomes_together([fine, wrong], rows(("a", day(0))), facts.lazy(), AT, LATER)
    assert "fine" not in str(raised.value)


def _too_late(spec: OutcomeSpec, spine: pl.DataFrame, facts: pl.DataFrame) -> int:
    """Count, for each entity and moment, the facts of its window that were known after it had settled."""
    count = 0
    for customer, asked_at in set(spine.select("customer" if spec.entity else pl.lit("all"), "asked_at").rows()):
        end = asked_at + spec.length
        for whose, placed_at, amount, known_at in facts.rows():
            mine = (whose == customer is not None) or not spec.entity
            counts = spec.where is None or (amount is not None and (amount >= 0 or amount != amount))
            if mine and counts and placed_at is not None and spec.known_at and known_at is not None:
                count += asked_at < placed_at <= end and known_at > end + spec.delay
    return count


@settings(max_examples=40, deadline=None)
@given(declarations().filter(lambda spec: spec.early), SPINES, FACTS)
def test_an_early_label_does_not_change_any_more(spec, spine, facts):
    """From the moment at which it is known on, every later look at the facts known by then gives the same label."""
    spine, facts = rows(*spine), orders(*facts)
    known = pl.col(spec.known_at or spec.happened_at)
    final = compute_outcomes(spec, spine, facts.lazy(), AT, LATER)
    same = {"aggregates", "label", "where", "window", "entity", "known_at", "settles"}
    plain = outcome(**spec.model_dump(include=same))
    ends = spine["asked_at"] + spec.length + spec.delay
    for moment in [day(number) for number in range(18)]:
        rows_known = ((final[spec.known_at_column] <= moment) & (ends >= moment)).arg_true()
        if rows_known.is_empty():
            continue
        so_far = compute_outcomes(plain, spine, facts.lazy().filter(known <= moment), AT, LATER)
        assert so_far[spec.name].gather(rows_known).to_list() == final[spec.name].gather(rows_known).to_list(), moment
