import polars as pl
import pytest

from ml_assets.sources.spec import SourceSpec

ORDERS = {"id": pl.Int64(), "amount": pl.Float64(), "shop": pl.String(), "at": pl.Datetime("us", "UTC")}


@pytest.fixture
def orders_schema():
    return dict(ORDERS)


@pytest.fixture
def orders(tmp_path):
    """Declares `orders` on a file in tmp_path, whose content may be given."""

    def declare(file="orders.csv", content=None, **changes):
        if content is not None:
            (tmp_path / file).write_bytes(content)
        plain = {
            "name": "orders",
            "description": "One row per order.",
            "where": {"path": file if "://" in file else str(tmp_path / file)},
            "contract": "shop.contracts:Orders",
            "key_columns": ["id"],
        }
        return SourceSpec(**plain | changes)

    return declare
