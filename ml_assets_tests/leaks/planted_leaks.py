"""A small shop whose orders come back or not, with one leak planted in it at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.declarations.coherence.models import model_problems
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSpine, DeclaredView
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.lake import Lake
from ml_assets.leaks.signs import ModelSigns, find_signs
from ml_assets.leaks.tables import Tables
from ml_assets.modelling.context import ModelContext
from ml_assets.outcomes.engine.compute import compute_outcomes
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.training.evaluation.leaks.bystanders import PLACE
from ml_assets.training.splits import split_for_model

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, A_DAY, CUSTOMERS = 112, 40, 500
END = BEGIN + timedelta(days=DAYS)
MIDWAY = BEGIN + timedelta(days=70)
ORDERS = "orders"


def hours(numbers) -> pl.Expr:
    return pl.duration(microseconds=(pl.lit(pl.Series(numbers)) * 3_600_000_000).round().cast(pl.Int64))


def made_up_orders(seed: int = 0) -> pl.DataFrame:
    """Orders of 16 weeks in order of time; who orders what decides how likely it comes back, known 20 hours later."""
    random = np.random.default_rng(seed)
    n = DAYS * A_DAY
    customer, amount = random.integers(0, CUSTOMERS, n), random.gamma(2.0, 20.0, n).round(2)
    likely = random.normal(0, 1.0, CUSTOMERS)[customer] + (amount - 40) / 40 - 1
    frame = pl.DataFrame(
        {
            "id": random.permutation(n),
            "customer": customer,
            "amount": amount,
            "region": customer % 20,
            "returned": random.random(n) < 1 / (1 + np.exp(-likely)),
        }
    ).with_columns(placed_at=pl.lit(BEGIN) + hours(np.sort(random.uniform(0, DAYS * 24, n))))
    monday = pl.col("placed_at").dt.truncate("1w").dt.strftime("%Y-%m-%d")
    return frame.with_columns(settled_at=pl.col("placed_at") + pl.duration(hours=20), _drop=monday)


def view(name: str, **declared) -> DeclaredView:
    return DeclaredView(name=name, description="Made up.", spine=ORDERS, **declared)


HONEST = (
    view("order", entity=["id"], request={"price": "amount", "price_step": "FLOOR(amount / 10)"}),
    view(
        "customer", entity=["customer"], table=ORDERS, known_at="settled_at", windows=["28d"],
        aggregates={
            "returns": {"of": "CAST(returned AS DOUBLE)", "functions": ["mean", "sum"]},
            "spent": {"of": "amount", "functions": ["mean", "max"]},
        },
    ),
)  # fmt: skip
"""Features that a careful person would declare."""


@dataclass(frozen=True)
class Planted:
    """A leak.

    Attributes:
        orders: the orders with it.
        views: declared beside the honest ones.
        tables: further tables, each as the versions that were written one after the other.
        earlier_orders: what the orders' table held before.
        split: parts of the split that are otherwise.
        trusted: what nothing is to be said of.
        columns: of the spine, carried along.
        outcome: the label, where it is declared over a table.
    """

    orders: pl.DataFrame
    views: Sequence[DeclaredView] = ()
    tables: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    earlier_orders: pl.DataFrame | None = None
    split: dict[str, str] = field(default_factory=dict)
    trusted: Sequence[str] = ()
    columns: Sequence[str] = ()
    outcome: DeclaredOutcome | None = None


@dataclass(frozen=True)
class Judged:
    """What the gates say of a leak."""

    problems: list[str]
    refused: str
    signs: ModelSigns

    @property
    def gates(self) -> set[str]:
        late = {"split"} if self.refused else set()
        declared = {"declaration"} if self.problems else set()
        return {*declared, *late, *(finding.gate for finding in self.signs.findings)}


def judge(planted: Planted, folder: Path) -> Judged:
    """Let every gate look: those of declarations, of the split, and of `try`."""
    lake, outcome = Lake(str(folder)), planted.outcome
    for key, versions in {**planted.tables, ORDERS: [planted.earlier_orders, planted.orders]}.items():
        for frame in versions:
            if frame is not None:
                lake.replace(key, frame)
    spine = DeclaredSpine(
        name=ORDERS, table=ORDERS, key=["id"], time="placed_at", partition="_drop", columns=list(planted.columns),
        drops={"grain": "weekly", "start": "2024-01-01"},
    )  # fmt: skip
    views = [*HONEST, *planted.views]
    model = DeclaredModel(
        name="returns", description="Made up.", spine=ORDERS, features=[view.name for view in views],
        label={"outcome": outcome.name} if outcome else {"column": "returned", "known_at": "settled_at"},
        split={"validation": "14d", "holdout": "28d", "gap": "1d"} | planted.split,
        evaluation={"leaks": {"trusted": list(planted.trusted)}},
    )  # fmt: skip
    outcomes = [] if outcome is None else [outcome]
    placed = [PlacedDeclaration(declared, "shop") for declared in (spine, *views, model, *outcomes)]
    columns = {key: versions[-1].columns for key, versions in planted.tables.items()} | {ORDERS: planted.orders.columns}
    if outcome is not None:
        columns[outcome.key] = [*planted.orders.columns, outcome.name, outcome.known_at_column]
    declared = DeclaredTables(placed, columns)
    context = ModelContext.of(model, spine, views, "shop", outcomes=outcomes)
    labelled = lake.scan(ORDERS)
    if outcome is not None:
        rows, of_table = labelled.collect(), lake.scan(outcome.table)
        computed = compute_outcomes(outcome, rows, of_table, OutcomeTimes("placed_at"), END)
        labelled = rows.hstack(computed.select(outcome.name, outcome.known_at_column)).lazy()
        lake.replace(outcome.key, labelled)
    place = pl.int_range(pl.len()).over("_drop") / pl.len().over("_drop")
    known = pl.col(context.spec.label.column).is_not_null()
    rows = labelled.with_columns(place.alias(PLACE)).filter(known).collect()
    carried = [*dict.fromkeys(["_drop", "placed_at", *context.columns, PLACE])]
    facts = [ViewTables(v, None, None if v.table is None else lake.scan(v.table), computed=True) for v in views]
    featured = join_features(rows, facts, time="placed_at", carried=carried)
    problems = list(model_problems(declared, model))
    try:
        split = split_for_model(featured, context.spec, END)
    except ValueError as error:
        if not str(error).startswith("split.gap: "):
            raise
        return Judged(problems, str(error), ModelSigns(pl.DataFrame(), [], []))
    signs = find_signs(context, Tables(lake, lake.scan), labelled, rows, split)
    return Judged(problems, "", signs)


def of_orders(**features: pl.Expr | pl.Series) -> Callable[[pl.DataFrame], Planted]:
    """Plant features that are columns of the orders' table, read as they are."""

    def plant(orders: pl.DataFrame) -> Planted:
        planted = view("planted", entity=["id"], request={name: name for name in features})
        return Planted(orders.with_columns(**features), [planted])

    return plant


def flipped(share: float) -> Callable[[pl.DataFrame], Planted]:
    def plant(orders: pl.DataFrame) -> Planted:
        wrong = pl.Series(np.random.default_rng(1).random(orders.height) < share)
        return of_orders(verdict=(pl.col("returned") ^ wrong).cast(pl.Int64))(orders)

    return plant


def backdated(orders: pl.DataFrame) -> Planted:
    """A refund is written the day after the order, and dated with the order."""
    refunds = orders.filter("returned").select("id", "placed_at", "settled_at", refund="amount")
    planted = view("planted", entity=["id"], table="refunds", known_at="placed_at", latest={"refund": "refund"})
    versions = [refunds.filter(pl.col("settled_at") <= MIDWAY), refunds]
    return Planted(orders, [planted], {"refunds": [part.drop("settled_at") for part in versions]})


def event_time(orders: pl.DataFrame) -> Planted:
    """A damage happens before the order and is reported five days later; the view goes by when it happened."""
    random = np.random.default_rng(2)
    hit = orders.filter(pl.col("returned") & pl.Series(random.random(orders.height) < 0.7))
    damages = hit.select("id", damage="amount", happened_at=pl.col("placed_at") - pl.duration(hours=3))
    damages = damages.with_columns(reported_at=pl.col("happened_at") + pl.duration(days=5))
    planted = view("planted", entity=["id"], table="damages", known_at="happened_at", latest={"damage": "damage"})
    return Planted(orders, [planted], {"damages": [damages.filter(pl.col("reported_at") <= MIDWAY), damages]})


def encoded(by: Sequence[str], rows: pl.Expr | None = None) -> Callable[[pl.DataFrame], Planted]:
    """The share of returns of a group, over given rows or over all."""

    def plant(orders: pl.DataFrame) -> Planted:
        among = orders if rows is None else orders.filter(rows)
        shares = among.group_by(by).agg(share=pl.col("returned").mean())
        joined = orders.join(shares, on=list(by), how="left", maintain_order="left")
        return of_orders(share=joined["share"])(orders)

    return plant


def closed_accounts(orders: pl.DataFrame) -> Planted:
    """Who sends things back has the account closed some day; the table of customers says how it is now."""

    def customers(until: datetime) -> pl.DataFrame:
        seen = orders.filter(pl.col("settled_at") <= until)
        bad = seen.group_by("customer").agg(pl.col("returned").mean(), pl.col("returned").sum().alias("times"))
        return bad.select(
            "customer",
            status=pl.when((pl.col("returned") >= 0.4) & (pl.col("times") >= 2))
            .then(pl.lit("closed"))
            .otherwise(pl.lit("open")),
        )

    planted = view("planted", entity=["customer"], table="customers", lookups={"status": "status"})
    return Planted(orders, [planted], {"customers": [customers(MIDWAY), customers(END)]})


def updated_in_place(orders: pl.DataFrame) -> Planted:
    """One row per customer, known since it was created, in which the number of returns is counted up."""

    def accounts(until: datetime) -> pl.DataFrame:
        seen = orders.filter(pl.col("settled_at") <= until)
        counted = seen.group_by("customer").agg(returns=pl.col("returned").sum(), updated_at=pl.col("settled_at").max())
        return counted.with_columns(created_at=pl.lit(BEGIN - timedelta(days=30)))

    planted = view(
        "planted", entity=["customer"], table="accounts", known_at="created_at", latest={"all_returns": "returns"}
    )
    return Planted(orders, [planted], {"accounts": [accounts(MIDWAY), accounts(END)]})


def over_all_time(orders: pl.DataFrame) -> Planted:
    """The dearest order that a customer ever sent back, later ones too, beside each of the customer's orders."""

    def spending(until: datetime) -> pl.DataFrame:
        seen = orders.filter(pl.col("settled_at") <= until)
        dearest = (pl.col("amount") * pl.col("returned")).max().over("customer")
        return seen.select("id", "placed_at", dearest=dearest)

    planted = view("planted", entity=["id"], table="spending", known_at="placed_at", latest={"dearest": "dearest"})
    return Planted(orders, [planted], {"spending": [spending(MIDWAY), spending(END)]})


def outcome_window(orders: pl.DataFrame) -> Planted:
    """Returns in the two days after the order, in a table that is known at the order."""
    days = orders.filter("returned").select("customer", at=pl.col("settled_at"))
    after = orders.join(days, on="customer").filter(
        (pl.col("at") > pl.col("placed_at")) & (pl.col("at") <= pl.col("placed_at") + pl.duration(days=2))
    )
    counted = orders.join(after.group_by("id").len("returns_after"), on="id", how="left", maintain_order="left")
    table = counted.select("id", "placed_at", pl.col("returns_after").fill_null(0))
    planted = view(
        "planted", entity=["id"], table="activity", known_at="placed_at", latest={"returns_after": "returns_after"}
    )
    return Planted(orders, [planted], {"activity": [table]})


def campaigns(orders: pl.DataFrame) -> pl.DataFrame:
    """A campaign a week, from Monday to Sunday, as strong as more is sent back in it."""
    weeks = orders.group_by(pl.col("placed_at").dt.truncate("1w").alias("begins_at")).agg(
        campaign=pl.col("returned").mean().round(1), _drop=pl.col("_drop").first()
    )
    return weeks.sort("begins_at").with_columns(ends_at=pl.col("begins_at") + pl.duration(days=7))


def plan(known_at: str) -> DeclaredView:
    """The campaign that holds when an order is placed, as far as it is announced."""
    holds = {"valid_at": "begins_at", "valid_until": "ends_at", "holding": {"campaign": {"of": "campaign"}}}
    return view("planted", table="campaigns", known_at=known_at, planned=holds)


def announced_late(orders: pl.DataFrame) -> Planted:
    """A campaign is said to be announced three days ahead, and is delivered in the week in which it runs."""
    table = campaigns(orders).with_columns(announced_at=pl.col("begins_at") - pl.duration(days=3))
    earlier = table.filter(pl.col("_drop") < f"{MIDWAY:%Y-%m-%d}")
    return Planted(orders, [plan("announced_at")], {"campaigns": [earlier, table]})


def vouchers(orders: pl.DataFrame) -> pl.DataFrame:
    """Who sends something back often gets a voucher for the day of the order, announced up to ten days later."""
    random = np.random.default_rng(14)
    begin = pl.col("placed_at") - pl.duration(hours=1)
    planned = orders.with_columns(
        begins_at=begin,
        ends_at=begin + pl.duration(days=1),
        announced_at=pl.col("placed_at") + hours(random.uniform(21, 240, orders.height)),
    )
    given = pl.col("returned") & pl.Series(random.random(orders.height) < 0.6)
    return planned.filter(given).select("customer", "begins_at", "ends_at", "announced_at", voucher="amount")


def voucher_plan(known_at: str) -> DeclaredView:
    holds = {"valid_at": "begins_at", "valid_until": "ends_at", "holding": {"voucher": {"of": "voucher"}}}
    return view("planted", entity=["customer"], table="vouchers", known_at=known_at, planned=holds)


def known_when_it_holds(orders: pl.DataFrame) -> Planted:
    """The view takes vouchers as known from the moment on from which they hold."""
    return Planted(orders, [voucher_plan("begins_at")], {"vouchers": [vouchers(orders)]})


def backdated_plan(orders: pl.DataFrame) -> Planted:
    """The announcement is dated with the begin, and was written down when it was made."""
    table = vouchers(orders)
    written = [table.filter(pl.col("announced_at") <= until) for until in (MIDWAY, END)]
    dated = [part.with_columns(announced_at=pl.col("begins_at")) for part in written]
    return Planted(orders, [voucher_plan("announced_at")], {"vouchers": dated})


def other_time_zone(orders: pl.DataFrame) -> Planted:
    """Hours of a shop in New York, read as if they were UTC: everything seems known five hours early."""
    random = np.random.default_rng(5)
    at = pl.lit(BEGIN) + hours(np.arange(DAYS * 24.0))
    table = pl.DataFrame({"visits": random.poisson(50, DAYS * 24)}).with_columns(at=at)
    table = table.with_columns(_drop=pl.col("at").dt.truncate("1w").dt.strftime("%Y-%m-%d"))
    table = table.with_columns(at=pl.col("at") - pl.duration(hours=5))
    planted = view("planted", table="visits", known_at="at", latest={"visits": "visits"})
    return Planted(orders, [planted], {"visits": [table]})


def closed_at(orders: pl.DataFrame) -> Planted:
    """Orders are closed when they are sent back, and sometimes by hand."""
    random = np.random.default_rng(6)
    closed = pl.col("returned") | pl.Series(random.random(orders.height) < 0.3)
    at = pl.when(closed).then(pl.col("placed_at") + hours(random.uniform(1, 20, orders.height)))
    planted = view(
        "planted",
        entity=["id"],
        request={"open_hours": "CAST(EXTRACT(epoch FROM closed_at) - EXTRACT(epoch FROM placed_at) AS DOUBLE)"},
    )
    return Planted(orders.with_columns(closed_at=at), [planted])


def imputed(orders: pl.DataFrame) -> Planted:
    """Missing weights are filled with the mean over all orders, those to come among them."""
    random = np.random.default_rng(7)
    weight = pl.Series(random.gamma(2, 1, orders.height)).scatter(
        np.flatnonzero(random.random(orders.height) < 0.2), None
    )
    now = orders.with_columns(weight=weight)
    early = now.filter(pl.col("placed_at") <= MIDWAY)
    planted = view("planted", entity=["id"], request={"weight": "weight"})
    filled = [part.with_columns(pl.col("weight").fill_null(pl.col("weight").mean())) for part in (early, now)]
    return Planted(filled[1], [planted], earlier_orders=filled[0])


def delivered_twice(orders: pl.DataFrame) -> Planted:
    """A third of the newest orders are old ones once more, under a new number."""
    random = np.random.default_rng(8)
    old, new = orders.filter(pl.col("placed_at") < MIDWAY), orders.filter(pl.col("placed_at") >= MIDWAY)
    copied = old[random.choice(old.height, new.height // 3, replace=False)]
    places = random.choice(new.height, copied.height, replace=False)
    columns = {}
    for name in ("customer", "amount", "returned"):
        columns[name] = new[name].scatter(places, copied[name])
    return Planted(pl.concat([old, new.with_columns(**columns)]))


def notes(orders: pl.DataFrame) -> Planted:
    random = np.random.default_rng(9)
    words = np.array(["left", "at", "door", "rang", "twice", "neighbour", "parcel", "box"])
    plain = [" ".join(random.choice(words, 4)) + f" {number}" for number in range(orders.height)]
    text = pl.when("returned").then(pl.lit("money back, ") + pl.Series(plain)).otherwise(pl.Series(plain))
    return of_orders(note=text)(orders)


def sampled(orders: pl.DataFrame) -> Planted:
    """Orders that did not come back were drawn from a table of days, so all of them are of midnight."""
    at = pl.when("returned").then("placed_at").otherwise(pl.col("placed_at").dt.truncate("1d"))
    moved = orders.with_columns(placed_at=at).with_columns(settled_at=pl.col("placed_at") + pl.duration(hours=20))
    return Planted(moved)


def in_order(orders: pl.DataFrame) -> Planted:
    """Each week's rows are delivered by outcome, and numbered."""
    ordered = orders.sort("_drop", "returned", "id")
    line = pl.int_range(pl.len()).over("_drop")
    return of_orders(line=line)(ordered)


def file_names(orders: pl.DataFrame) -> Planted:
    name = pl.when("returned").then(pl.lit("returns")).otherwise(pl.lit("orders"))
    file = name + pl.lit("-") + pl.col("placed_at").dt.strftime("%Y%m%d") + pl.lit(".csv")
    return Planted(orders.with_columns(file=file), columns=["file"])


def late_labels(orders: pl.DataFrame) -> Planted:
    """Outcomes take up to ten days, and the gap is one."""
    random = np.random.default_rng(10)
    return Planted(orders.with_columns(settled_at=pl.col("placed_at") + hours(random.uniform(1, 240, orders.height))))


def own_table(orders: pl.DataFrame) -> Planted:
    """Past returns of the customer, as if they were known when the order was placed."""
    planted = view(
        "planted", entity=["customer"], table=ORDERS, known_at="placed_at", windows=["28d"],
        aggregates={"sent_back": {"of": "CAST(returned AS DOUBLE)", "functions": ["mean"]}},
    )  # fmt: skip
    return Planted(orders, [planted])


BACK_SOON = DeclaredOutcome(
    name="trouble", description="Something was sent back within two days.", spine=ORDERS, table="sent_back",
    entity=["customer"], happened_at="sent_at", known_at="arrived_at", window="2d", settles="1d",
    aggregate={"functions": ["count"]}, label="count > 0",
)  # fmt: skip


def sent_back(orders: pl.DataFrame) -> pl.DataFrame:
    """Parcels on their way back: sent the next day, there another day later."""
    return orders.filter("returned").select(
        "customer",
        ordered_at="placed_at",
        sent_at=pl.col("placed_at") + pl.duration(hours=20),
        arrived_at=pl.col("placed_at") + pl.duration(hours=44),
    )


def window_by_outcome(orders: pl.DataFrame) -> Planted:
    """A feature over the outcome's own facts, dated by the order that they came of."""
    planted = view(
        "planted", table="sent_back", entity=["customer"], known_at="ordered_at", windows=["2d"],
        aggregates={"parcels": {"functions": ["count"]}},
    )  # fmt: skip
    return Planted(orders, [planted], {"sent_back": [sent_back(orders)]}, outcome=BACK_SOON, split={"gap": "3d"})


def outcomes_table(orders: pl.DataFrame) -> Planted:
    """A feature that reads the stored outcomes, as if they were known at the order."""
    planted = view("planted", table=BACK_SOON.key, entity=["id"], known_at="placed_at", latest={"soon": "trouble"})
    return Planted(orders, [planted], {"sent_back": [sent_back(orders)]}, outcome=BACK_SOON, split={"gap": "3d"})


def only_for_positives(orders: pl.DataFrame) -> Planted:
    reason = pl.when("returned").then(
        pl.Series(np.random.default_rng(11).choice(["size", "colour", "late"], orders.height))
    )
    return of_orders(reason=reason)(orders)


def split_in_two(orders: pl.DataFrame) -> Planted:
    noise = pl.Series(np.random.default_rng(12).integers(0, 2, orders.height))
    return of_orders(one=noise, other=(noise + pl.col("returned").cast(pl.Int64)) % 2)(orders)


IN_TRAINING = pl.col("placed_at") < BEGIN + timedelta(days=68)

PLANTED: dict[str, Callable[[pl.DataFrame], Planted]] = {
    "the label under another name": of_orders(flag=pl.col("returned").cast(pl.Int64)),
    "the label negated and scaled": of_orders(rest=7.5 - 3 * pl.col("returned").cast(pl.Float64)),
    "the label with 8 % of noise": flipped(0.08),
    "the label split in two columns": split_in_two,
    "a fact written after the outcome, backdated": backdated,
    "`known_at` taken from when it happened, not from when it was reported": event_time,
    "a target encoding over all rows": encoded(["customer"]),
    "a target encoding that includes the row itself": encoded(["customer"], IN_TRAINING),
    "a number that grows with time": of_orders(number=pl.int_range(pl.len()) * 3 + 100_000),
    "a number whose last digit tells the class": of_orders(
        number=pl.int_range(pl.len()).shuffle(seed=1) * 10 + pl.col("returned").cast(pl.Int64)
    ),
    "the line of the file, delivered by outcome": in_order,
    "a planned fact announced late": announced_late,
    "a planned fact known from when it holds, not from when it was announced": known_when_it_holds,
    "a planned fact entered afterwards, backdated": backdated_plan,
    "a join that ignores time": closed_accounts,
    "an aggregate over the outcome's window": outcome_window,
    "a row updated in place": updated_in_place,
    "SQL with `max` over all time": over_all_time,
    "rows delivered twice": delivered_twice,
    "missing values filled with the mean of all rows": imputed,
    "a column that is filled for one class": only_for_positives,
    "a moment after the prediction": closed_at,
    "a text that tells the outcome": notes,
    "facts in another time zone": other_time_zone,
    "a group's rate of the same period": encoded(["_drop", "region"]),
    "rows drawn by outcome": sampled,
    "the name of the file": file_names,
    "a gap shorter than outcomes take": late_labels,
    "outcomes of the spine's own table, known too early": own_table,
    "a declared outcome's window, read through its facts": window_by_outcome,
    "a declared outcome, read through its own table": outcomes_table,
}  # fmt: skip
"""Each kind of leak by its name."""


def once(plant: Callable[[pl.DataFrame], Planted]) -> Callable[[pl.DataFrame], Planted]:
    """Plant a leak whose tables were written once, as of the end."""

    def planted(orders: pl.DataFrame) -> Planted:
        whole = plant(orders)
        return replace(whole, earlier_orders=None, tables={key: kept[-1:] for key, kept in whole.tables.items()})

    return planted


def always_late(orders: pl.DataFrame) -> Planted:
    """Stock is counted a day after the moment that the table says, and the table does not say so."""
    random = np.random.default_rng(13)
    at = pl.lit(BEGIN) + hours(np.arange(DAYS * 24.0))
    table = pl.DataFrame({"stock": random.poisson(50, DAYS * 24)}).with_columns(at=at)
    planted = view("planted", table="stock", known_at="at", latest={"stock": "stock"})
    versions = [table.filter(pl.col("at") <= until - timedelta(days=1)) for until in (MIDWAY, END)]
    return Planted(orders, [planted], {"stock": versions})


def without_drops(orders: pl.DataFrame) -> Planted:
    zoned = other_time_zone(orders)
    return replace(zoned, tables={"visits": [zoned.tables["visits"][0].drop("_drop")]})


def biggest_order(orders: pl.DataFrame) -> Planted:
    """The dearest order of a customer, later ones too, beside each of the customer's orders."""
    table = orders.select("id", "placed_at", dearest=pl.col("amount").max().over("customer"))
    planted = view("planted", entity=["id"], table="spending", known_at="placed_at", latest={"dearest": "dearest"})
    return Planted(orders, [planted], {"spending": [table]})


UNSEEN: dict[str, Callable[[pl.DataFrame], Planted]] = {
    "the label with 25 % of noise": flipped(0.25),
    "SQL with `max` over all time, built once": biggest_order,
    "missing values filled with the mean of all rows, in one delivery": once(imputed),
    "facts that are always reported a day late, in a table that does not say so": always_late,
    "facts in another time zone, in a table without drops": without_drops,
}
"""What no gate can see."""
