import pytest
from sqlglot.errors import SqlglotError

from ml_assets.transform.lineage import column_lineage

ORDERS, SHOPS = '"memory"."main"."orders"', '"memory"."main"."shops"'
PARENTS = {ORDERS: ["id", "shop", "amount", "placed_at"], SHOPS: ["shop", "city"]}


def trace(sql, *columns):
    return column_lineage(sql.format(orders=ORDERS, shops=SHOPS), PARENTS, columns)


@pytest.mark.parametrize(
    ("expression", "made_of"),
    [
        ("amount", ["amount"]),
        ("amount * 2 + id", ["amount", "id"]),
        ("coalesce(amount, id)", ["amount", "id"]),
        ("case when shop = 'a' then amount else 0 end", ["amount", "shop"]),
        ("cast(amount as bigint)", ["amount"]),
        ("1 + 1", []),
        ("sum(amount) over (partition by shop order by placed_at)", ["amount", "placed_at", "shop"]),
    ],
)
def test_an_expression_is_made_of_the_columns_it_reads(expression, made_of):
    traced = trace(f"select {expression} as result from {{orders}}", "result")
    assert traced == {"result": [(ORDERS, column) for column in made_of]}


def test_columns_are_traced_through_a_join_to_their_own_table():
    sql = "select orders.id, shops.city, orders.shop from {orders} as orders join {shops} as shops using (shop)"
    assert trace(sql, "id", "city") == {"id": [(ORDERS, "id")], "city": [(SHOPS, "city")]}


def test_unqualified_columns_of_a_join_are_found_by_the_parents_columns():
    assert trace("select amount, city from {orders} join {shops} using (shop)", "amount", "city") == {
        "amount": [(ORDERS, "amount")],
        "city": [(SHOPS, "city")],
    }


def test_columns_are_traced_through_chained_common_table_expressions():
    sql = """
        with cheap as (select *, amount / 2 as half from {orders} where amount < 10),
        placed as (select id, half + 1 as more, cheap.shop as place from cheap)
        select placed.more, shops.city || placed.place as label
        from placed left join {shops} as shops on shops.shop = placed.place
    """
    assert trace(sql, "more", "label") == {
        "more": [(ORDERS, "amount")],
        "label": [(ORDERS, "shop"), (SHOPS, "city")],
    }


def test_both_sides_of_a_union_count():
    sql = "select shop as name from {orders} union all select city as name from {shops}"
    assert trace(sql, "name") == {"name": [(ORDERS, "shop"), (SHOPS, "city")]}


def test_star_hands_every_column_on():
    assert trace("select * from {orders}", "id", "amount") == {"id": [(ORDERS, "id")], "amount": [(ORDERS, "amount")]}


def test_a_column_that_the_query_does_not_make_is_an_error():
    with pytest.raises(SqlglotError, match="nothing"):
        trace("select id from {orders}", "nothing")
