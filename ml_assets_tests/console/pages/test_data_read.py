"""What the pages of data say, held against independent queries of the lake."""

import csv
import io
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.automation.asset_events import CheckResult
from ml_assets.console.pages.data.calendar import calendar_of
from ml_assets.console.pages.data.download import csv_of, parquet_of
from ml_assets.console.pages.data.drops import IN_USE, DropState, read_drops
from ml_assets.console.pages.data.quarantine import PAGE, Filters, Quarantine, WrongFilter
from ml_assets.console.pages.data.read import read_source, read_sources
from ml_assets.declarations.specs import CAME_EMPTY, DeclaredSource
from ml_assets.lake import Lake
from ml_assets.lake.history import Commit, PartitionHistory


def source(**given) -> DeclaredSource:
    about = {
        "name": "meals", "description": "Meals.", "where": {"path": "/none/{partition}.csv"}, "key_columns": ["id"],
        "drops": {"grain": "daily", "start": "2024-01-01"}, "contract": "a:B", "freshness": {"fail": "12h"},
    }  # fmt: skip
    return DeclaredSource(**about | given)


class Meals(Lake):
    """A lake whose log says that the first drop was taken in on the second of January, at one o'clock."""

    def history_by(self, *_):
        at = {"2024-01-01": [2], "2024-01-02": [3], "2024-01-03": [4, 6], "2024-01-05": [6]}
        late = {"2024-01-03": timedelta(hours=14)}
        commits = {
            drop: tuple(
                Commit(n, datetime(2024, 1, day, 1, tzinfo=UTC) + late.get(drop, timedelta()))
                for n, day in enumerate(days)
            )
            for drop, days in at.items()
        }
        return PartitionHistory(commits, Commit(0, datetime(2024, 1, 2, 1, tzinfo=UTC)))


@pytest.fixture
def meals(tmp_path) -> Meals:
    lake = Meals(str(tmp_path))
    raw = pl.DataFrame(
        {"_drop": ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03", "2024-01-05"], "id": range(5)}
    )
    lake.replace("meals/raw", raw, {"_drop": sorted(set(raw["_drop"]))})
    validated = raw.filter(pl.col("id").is_in([0, 1]))
    lake.replace("meals/validated", validated, {"_drop": ["2024-01-01", "2024-01-02"]})
    lake.replace("meals/quarantine", raw.filter(pl.col("id") == 2), {"_drop": ["2024-01-02"]})
    texts = pl.List(pl.String)
    withheld = pl.DataFrame(
        [("2024-01-03", ["contract"], [], False), ("2024-01-05", [], ["2024-01-03"], False)], orient="row",
        schema={"_drop": pl.String, "failed": texts, "waits_for": texts, "in_use": pl.Boolean},
    )  # fmt: skip
    lake.replace("meals/withheld", withheld)
    empty = pl.DataFrame({"_drop": ["2024-01-06"], "rows": [0]})
    lake.replace(f"meals/{CAME_EMPTY}", empty, {"_drop": ["2024-01-06"]})
    return lake


NOW = datetime(2024, 1, 8, 13, tzinfo=UTC)


def test_each_drop_has_its_state_its_counts_and_what_held_it_back(meals):
    read = read_drops(meals, source(), NOW)
    assert [(d.drop, d.state.name, d.rows, d.in_use, d.quarantined) for d in read.drops] == [
        ("2024-01-01", "in use", 1, 1, 0),
        ("2024-01-02", "partly", 2, 1, 1),
        ("2024-01-03", "withheld", 1, 0, 0),
        ("2024-01-04", "missing", 0, 0, 0),
        ("2024-01-05", "waits", 1, 0, 0),
        ("2024-01-06", "empty", 0, 0, 0),
        ("2024-01-07", "missing", 0, 0, 0),
    ]
    held = {d.drop: (d.failed, d.waits_for) for d in read.drops if d.failed or d.waits_for}
    assert held == {"2024-01-03": (("contract",), ()), "2024-01-05": ((), ("2024-01-03",))}
    assert read.worst.drop == "2024-01-03"
    assert len(read.delivered) == 5


def test_a_period_that_is_over_is_awaited_until_the_source_counts_as_stale(meals):
    states = {d.drop: d.state.name for d in read_drops(meals, source(), NOW - timedelta(hours=2)).drops}
    assert (states["2024-01-07"], states["2024-01-04"]) == ("awaited", "missing")
    assert "2024-01-08" not in states


def test_a_drop_is_late_by_the_first_time_that_it_was_taken_in(meals):
    drops = {d.drop: d for d in read_drops(meals, source(), NOW).drops}
    assert {name: (d.lag, d.late, d.deliveries) for name, d in drops.items() if d.deliveries} == {
        "2024-01-01": (timedelta(hours=1), False, 1),
        "2024-01-02": (timedelta(hours=1), False, 1),
        "2024-01-03": (timedelta(hours=15), True, 2),
        "2024-01-05": (timedelta(hours=1), False, 1),
    }
    assert drops["2024-01-03"].last_at - drops["2024-01-03"].first_at == timedelta(days=2)


def test_history_from_before_the_source_was_watched_is_not_late(meals):
    watched_since = source(drops={"grain": "monthly", "start": "2023-01"})
    meals.replace("meals/raw", pl.DataFrame({"_drop": ["2023-11"], "id": [1]}))
    history = PartitionHistory({"2023-11": (Commit(0, NOW),)}, Commit(0, NOW))
    object.__setattr__(meals, "history_by", lambda *_: history)
    old = next(d for d in read_drops(meals, watched_since, NOW).drops if d.drop == "2023-11")
    assert (old.late, old.lag) == (None, NOW - datetime(2023, 12, 1, tzinfo=UTC))


def test_where_the_log_was_cut_nothing_is_said_of_lateness(meals):
    history = PartitionHistory({"2024-01-01": (Commit(7, NOW),)}, Commit(5, NOW))
    object.__setattr__(meals, "history_by", lambda *_: history)
    read = read_drops(meals, source(), NOW)
    assert (read.log_whole, read.drops[0].late, read.drops[0].lag) == (False, None, None)


def test_of_a_source_of_which_nothing_came_there_is_no_drop(tmp_path):
    read = read_drops(Lake(str(tmp_path)), source(), NOW)
    assert (read.drops, read.worst, read.delivered) == ((), None, ())


def drops_named(*names: str) -> list[DropState]:
    return [DropState(name, IN_USE) for name in names]


@pytest.mark.parametrize(
    ("grain", "drop", "line", "column"),
    [
        ("hourly", "2024-02-29T23", "2024-02-29", "23"),
        ("daily", "2024-02-29", "2024-02", "29"),
        ("weekly", "2024-12-30", "2025", "1"),
        ("monthly", "2024-12", "2024", "Dec"),
        ("quarterly", "2024-10", "2024", "Q4"),
        ("yearly", "2013", "2010s", "3"),
        ("whole", "whole", "whole", "whole"),
    ],
)
def test_a_drop_lies_where_its_time_lies(grain, drop, line, column):
    calendar = calendar_of(grain, drops_named(drop))
    (row,) = calendar.lines
    at = {name: cell.drop for name, cell in zip(calendar.columns, row.cells, strict=True) if cell}
    assert (row.label, at) == (line, {column: drop})


def test_the_newest_lines_are_shown_and_the_others_counted():
    days = pl.date_range(datetime(2022, 1, 1), datetime(2024, 9, 26), eager=True).dt.strftime("%Y-%m-%d")
    calendar = calendar_of("daily", drops_named(*days), most=12)
    assert [line.label for line in calendar.lines][:2] == ["2024-09", "2024-08"]
    assert (len(calendar.lines), calendar.hidden) == (12, 33 - 12)
    assert sum(cell is not None for cell in calendar.lines[0].cells) == 26


def test_a_source_shows_the_checks_of_its_worst_drop_or_of_the_one_that_is_asked_for(shop, stub_records, about):
    failed = CheckResult("row_count", "2024-02", False, about.now, 5.0, "40 to 180", {"earlier_drops": 1})
    records = stub_records([failed, CheckResult("contract", "2024-02", True, about.now, 0.0, 0.0)])
    orders = shop.project.sources["orders"]
    drops = read_drops(shop.lake, orders, about.now)
    page = read_source(orders, drops, records, "2024-02", nothing)
    assert page.selected.drop == "2024-02"
    assert page.warned == {"2024-02": ["row_count"]}
    checks = {check.name: check for check in page.checks}
    shown = (checks["row_count"].passed, checks["row_count"].observed, checks["row_count"].threshold)
    assert shown == (False, 5.0, "40 to 180")
    assert (checks["contract"].passed, checks["contract"].blocking, checks["history"].passed) == (True, True, None)
    by_itself = read_source(orders, drops, records, None, nothing)
    assert by_itself.selected.drop == about.march  # all are partly in use: the newest
    assert read_source(orders, drops, records, "2031-01", nothing).selected is None


def nothing(_table: str) -> frozenset[str]:
    return frozenset()


def test_evidence_gives_no_rows_as_examples_where_a_column_is_private(shop, stub_records, about):
    broken = [{"rule": "ge", "rows": 2, "example": "email=a@b", "examples": ["row 1 (email=a@b)"]}]
    evidence = {"bad_rows": 2, "broken_rules": broken}
    records = stub_records([CheckResult("contract", "2024-02", False, about.now, 0.1, 0.0, evidence)])
    orders = shop.project.sources["orders"]

    def shown(private):
        page = read_source(orders, read_drops(shop.lake, orders, about.now), records, "2024-02", private)
        return next(check.evidence for check in page.checks if check.name == "contract")

    assert shown(nothing) == evidence
    assert shown(lambda _: frozenset({"email"})) == {"bad_rows": 2, "broken_rules": [{"rule": "ge", "rows": 2}]}


def test_a_source_of_which_nothing_came_is_listed_last(shop, about):
    orders = shop.project.sources["orders"]
    project = shop.project.over(shop.lake)
    project.__dict__["sources"] = {name: orders.model_copy(update={"name": name}) for name in ("a", "orders")}
    lines = read_sources(project, lambda source: read_drops(shop.lake, source, about.now))
    assert [line.name for line in lines] == ["orders", "a"]


def test_the_list_of_sources_counts_what_the_lake_holds(shop, about):
    (line,) = read_sources(shop.project, lambda source: read_drops(shop.lake, source, about.now))
    raw, held = (shop.lake.scan(f"orders/{table}").collect().height for table in ("raw", "quarantine"))
    assert (line.name, line.drops, line.rows, line.quarantined) == ("orders", 3, raw, held)
    assert line.quarantined_share == held / raw
    assert line.counts == {"partly": 3}
    (unseen,) = read_sources(shop.project, lambda source: read_drops(Lake("/nowhere"), source, about.now))
    assert unseen.newest is None


@pytest.fixture
def quarantine(shop) -> Quarantine:
    return Quarantine(shop.lake, shop.project.sources["orders"])


@pytest.fixture
def held(shop) -> pl.DataFrame:
    return shop.lake.scan("orders/quarantine").collect()


def test_a_quarantine_is_filtered_by_rule_drop_and_text(quarantine, held, about):
    def ids(**filters):
        return sorted(row["id"] for row in quarantine.page(Filters(**filters)).rows)

    def where(condition):
        return sorted(held.filter(condition)["id"])

    assert ids() == where(pl.lit(value=True))
    assert ids(rule="settled_after_placed") == where(pl.col("_rules").str.contains("settled_after_placed"))
    assert ids(rule="amount") == []  # the name of a rule, not a part of it
    assert ids(drop="2024-02") == where(pl.col("_drop") == "2024-02")
    assert ids(column="customer", text="<SCRIPT>") == where(pl.col("customer") == about.hostile)
    assert ids(text="=1+1") == where(pl.col("customer") == "=1+1")
    assert ids(drop="2024-02", column="id", text="30") == where(
        (pl.col("_drop") == "2024-02") & pl.col("id").cast(pl.String).str.contains("30")
    )


def test_a_quarantine_counts_its_rows_by_rule_and_by_drop(quarantine, held):
    page = quarantine.page(Filters(drop="2024-02"))
    assert (page.total, page.matching) == (held.height, held.filter(pl.col("_drop") == "2024-02").height)
    both = held["_rules"].str.contains("settled").sum()
    assert page.rules == {"amount: ge": held.height, "settled_after_placed": both}
    assert page.drops == dict(held.group_by("_drop").len().iter_rows())
    assert page.columns[:4] == ("_drop", "_row", "_rules", "_columns")


def test_pages_follow_one_another_without_a_gap(tmp_path, shop):
    lake = Lake(str(tmp_path))
    rows = pl.DataFrame({"_drop": ["a"] * 120, "_row": range(120), "_rules": ["r"] * 120, "_columns": ["c"] * 120})
    lake.replace("orders/quarantine", rows, {"_drop": ["a"]})
    pages = [Quarantine(lake, shop.project.sources["orders"]).page(Filters(page=n)) for n in (1, 2, 3, 4)]
    assert [row["_row"] for page in pages for row in page.rows] == list(range(120))
    assert [len(page.rows) for page in pages] == [PAGE, PAGE, 20, 0]
    assert pages[0].pages == 3


def test_pages_over_several_drops_are_those_of_all_rows_in_order(tmp_path, shop):
    lake, drops = Lake(str(tmp_path)), {"a": 30, "b": 1, "c": 0, "d": 75, "e": 44, "f": 6}
    rows = [(drop, row, "r", "c") for drop, count in drops.items() for row in range(count)]
    frame = pl.DataFrame(rows, orient="row", schema=["_drop", "_row", "_rules", "_columns"])
    lake.replace("orders/quarantine", frame, {"_drop": list(drops)})
    quarantine = Quarantine(lake, shop.project.sources["orders"])
    pages = [quarantine.page(Filters(page=n)) for n in range(1, 6)]
    wanted = [row[:2] for row in sorted(rows, key=lambda row: (-ord(row[0]), row[1]))]
    assert [(row["_drop"], row["_row"]) for page in pages for row in page.rows] == wanted
    assert [(row["_drop"], row["_row"]) for row in quarantine.page(Filters(rule="r", page=2)).rows] == wanted[50:100]
    assert {page.matching for page in pages} == {156}
    assert quarantine.page(Filters(drop="d", page=2)).rows[-1]["_row"] == 74


def test_without_a_quarantine_there_is_an_empty_page(tmp_path, shop):
    page = Quarantine(Lake(str(tmp_path)), shop.project.sources["orders"]).page(Filters())
    assert (page.rows, page.total, page.pages) == ((), 0, 1)


def test_private_columns_are_neither_shown_nor_searched(shop, monkeypatch):
    monkeypatch.setattr("ml_assets.quality.contracts.private_columns", lambda _: frozenset({"customer"}))
    quarantine = Quarantine(shop.lake, shop.project.sources["orders"])
    page = quarantine.page(Filters())
    assert page.private == ("customer",)
    assert "customer" not in page.columns
    assert all("customer" not in row for row in page.rows)
    assert quarantine.page(Filters(text="ann")).matching == 0
    with pytest.raises(WrongFilter, match="column 'customer': is not shown; there are _drop, _row"):
        quarantine.page(Filters(column="customer", text="ann"))
    assert "customer" not in pl.concat(list(quarantine.batches(Filters()))).columns


@pytest.mark.parametrize("page", ["0", "-1", "x", "1.5", "9223372036854775807", "9" * 5000])
def test_a_page_that_is_no_number_is_refused(page):
    with pytest.raises(WrongFilter, match="must be a whole number from 1"):
        Filters.of({"page": page})


def test_a_csv_has_no_text_that_a_spreadsheet_runs():
    frame = pl.DataFrame(
        {
            "text": ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "a=b", None, 'say "hi", you'],
            "number": [-1, 2, 3, 4, 5, 6, 7, None, 9],
            "=head": list("abcdefghi"),
        }
    )
    text = b"".join(csv_of([frame.clear(), frame[:4], frame[4:]])).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["text", "number", "'=head"]
    assert [row[0] for row in rows[1:]] == [
        "'=1+1", "'+1", "'-1", "'@a", "'\tx", "'\rx", "a=b", "", 'say "hi", you',
    ]  # fmt: skip
    assert [row[1] for row in rows[1:]] == ["-1", "2", "3", "4", "5", "6", "7", "", "9"]


def test_a_parquet_file_in_pieces_is_the_frame_as_it_is(quarantine, held):
    pieces = list(parquet_of(quarantine.batches(Filters())))
    read = pl.read_parquet(io.BytesIO(b"".join(pieces)))
    assert len(pieces) > 1
    wanted = held.select(read.columns).sort("id")
    assert_frame_equal(read.sort("id"), wanted)
    nothing = b"".join(parquet_of(quarantine.batches(Filters(rule="none"))))
    assert pl.read_parquet(io.BytesIO(nothing)).shape == (0, read.width)
