"""What a connection URL means, before anything is connected; and that it is refused where a driver would misread it."""

from types import SimpleNamespace

import pytest

from ml_assets.sources.databases.database import open_database
from ml_assets.sources.errors import DeliveryFault

VARIABLE = "SOME_DATABASE"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://user:pass%40word@host:5432/shop", "postgresql"),
        ("postgres://host/shop", "postgresql"),
        ("postgresql+psycopg2://host/shop", "postgresql"),
        ("postgresql://one:5432,two:5433/shop?target_session_attrs=any", "postgresql"),
        ("postgresql://user@[::1]:5432,[::2]/shop", "postgresql"),
        ("mysql://user:password@host/shop", "mysql"),
        ("mariadb+mariadbconnector://host:3306/shop?charset=utf8mb4", "mysql"),
        ("sqlite:///shop.db", "sqlite"),
        ("sqlite+pysqlite:////data/shop 100%.db", "sqlite"),
    ],
)
def test_the_scheme_says_the_kind_of_database(monkeypatch, url, kind):
    monkeypatch.setenv(VARIABLE, f" {url}\n")
    opened = open_database(VARIABLE)
    assert opened.kind.name == kind
    assert url not in repr(opened)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:p@ss@host/shop",
        "postgresql://user:pa/ss@host/shop",
        "postgresql://user:pa ss@host/shop",
        "postgresql://user:pa#ss@host/shop",
        "postgresql://host:port/shop",
        "sqlite://",
        "sqlite://host/shop.db",
        "oracle://host/shop",
        "shop.db",
    ],
)
def test_what_a_driver_would_misread_is_no_url(monkeypatch, url):
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(DeliveryFault, match=f"the environment variable {VARIABLE} holds no connection URL") as raised:
        open_database(VARIABLE)
    assert "ss@" not in str(raised.value)


def test_a_fault_hides_every_secret_as_it_is_written_and_as_it_is_meant(monkeypatch):
    monkeypatch.setenv(VARIABLE, "postgresql://user:Pa55%20w%40rd@127.0.0.1:1/shop?sslpassword=se%2fcret")
    words = "user Pa55%20w%40rd and Pa55 w@rd, se%2fcret and se/cret"

    def refuse(*_):
        raise ConnectionError(words)

    opened = open_database(VARIABLE)
    monkeypatch.setattr(type(opened.kind), "connect", refuse)
    with pytest.raises(DeliveryFault) as raised:
        opened.run("SELECT 1")
    assert "(user *** and ***, *** and ***)" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql+psycopg2://host/shop", "postgresql://host/shop?connect_timeout=10"),
        ("postgres://a,b/shop?x=1%202", "postgresql://a,b/shop?x=1%202&connect_timeout=10"),
        ("postgresql://host/shop?connect_timeout=3", "postgresql://host/shop?connect_timeout=3"),
        ("sqlite:////data/shop 100%.db", "/data/shop 100%.db"),
    ],
)
def test_a_driver_is_given_the_url_as_it_is_written_with_a_limit_to_waiting(monkeypatch, url, target):
    connected = []
    monkeypatch.setenv(VARIABLE, url)
    opened = open_database(VARIABLE)
    nowhere = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(type(opened.kind), "connect", lambda _, given: connected.append(given) or nowhere)
    with pytest.raises(DeliveryFault):
        opened.run("SELECT 1")
    assert connected == [target]
