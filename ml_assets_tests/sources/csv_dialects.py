"""CSV as tools write it: what the reader is tested on, what the scaffolder has to tell, and what the guide lists."""
# ruff: noqa: E501 - a table: one case a line

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

N, F, S, B, D = pl.Int64(), pl.Float64(), pl.String(), pl.Boolean(), pl.Date()
AT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Case:
    """One way to write a file.

    Attributes:
        what: in words.
        content: its bytes.
        declared: fields of the source that say so, as the scaffolder tells them.
        schema, rows: what is read by them.
    """

    what: str
    content: bytes
    schema: dict[str, pl.DataType]
    rows: list[tuple]
    declared: dict[str, Any] = field(default_factory=dict)


def case(what: str, text: str, schema: dict, rows: list[tuple], encoding: str = "utf-8", **declared: Any) -> Case:
    return Case(what, text.encode(encoding), schema, rows, declared)


IDS = [(1, 2.5), (2, 3.5)]
KM = {"id": N, "km": F}
NAMES = {"id": N, "name": S}


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


OFFSETS = [(1, utc(2024, 1, 31, 8)), (2, utc(2024, 7, 1, 6))]
CLOCKS = [(1, utc(2024, 1, 31, 8)), (2, utc(2024, 7, 1, 8))]
DAYS = [(1, date(2024, 1, 31)), (2, date(2024, 7, 1))]

CASES = [
    case("comma, quotes doubled", 'id,say\n1,"say ""hi"""\n2,"a,b"\n', {"id": N, "say": S}, [(1, 'say "hi"'), (2, "a,b")]),
    case("quotes after a backslash", 'id,say\n1,"say \\"hi\\""\n2,"a,b"\n', {"id": N, "say": S}, [(1, 'say "hi"'), (2, "a,b")], csv={"escape": "\\"}),
    case("semicolon", "id;km\n1;2.5\n2;3.5\n", KM, IDS, csv={"delimiter": ";"}),
    case("tab", "id\tkm\n1\t2.5\n2\t3.5\n", KM, IDS, csv={"delimiter": "\t"}),
    case("bar", "id|km\n1|2.5\n2|3.5\n", KM, IDS, csv={"delimiter": "|"}),
    case("a spreadsheet's first line", "sep=;\nid;km\n1;2.5\n2;3.5\n", KM, IDS, csv={"delimiter": ";", "skip_lines": 1}),
    case("apostrophes around fields", "id;name\n1;'a;b'\n2;'c'\n", NAMES, [(1, "a;b"), (2, "c")], csv={"delimiter": ";", "quote": "'"}),
    case("CR LF", "id,km\r\n1,2.5\r\n2,3.5\r\n", KM, IDS),
    case("CR", "id,km\r1,2.5\r2,3.5\r", KM, IDS),
    case("byte order mark", "id,km\n1,2.5\n2,3.5\n", KM, IDS, encoding="utf-8-sig"),
    case("UTF-16", "id,name\n1,Zoë\n2,Åsa\n", NAMES, [(1, "Zoë"), (2, "Åsa")], encoding="utf-16", csv={"encoding": "utf-16"}),
    case("Windows-1252, Latin-1", "id,name\n1,Zoë\n2,Åsa\n", NAMES, [(1, "Zoë"), (2, "Åsa")], encoding="cp1252", csv={"encoding": "cp1252"}),
    case("a header with quotes", '"id","km ""net"""\n1,2.5\n2,3.5\n', {"id": N, 'km "net"': F}, IDS),
    case("pandas' index, without a name", ",id,km\n0,1,2.5\n1,2,3.5\n", KM, IDS),
    case("a delimiter at the end of each line", "id,km,\n1,2.5,\n2,3.5,\n", KM, IDS),
    case("a delimiter at the end of each row", "id,km\n1,2.5,\n2,3.5,\n", KM, IDS),
    case("decimal comma, points between thousands", "id;km\n1;1.234,5\n2;0,5\n", KM, [(1, 1234.5), (2, 0.5)], csv={"delimiter": ";", "decimal": ",", "thousands": "."}),
    case("commas between thousands", 'id,km\n1,"1,234.5"\n2,0.5\n', KM, [(1, 1234.5), (2, 0.5)], csv={"thousands": ","}),
    case("spaces between thousands, also such as do not break", "id;n\n1;1 234 567\n2;1\u00a0234\n", {"id": N, "n": N}, [(1, 1234567), (2, 1234)], csv={"delimiter": ";", "thousands": " "}),
    case("apostrophes between thousands", "id,n\n1,1'234\n2,5\n", {"id": N, "n": N}, [(1, 1234), (2, 5)], csv={"thousands": "'"}),
    case("percent", "id,share\n1,5%\n2,12.5%\n", {"id": N, "share": F}, [(1, 5.0), (2, 12.5)], columns={"share": {"unit": "%"}}),
    case("a currency", "id,price\n1,€5.00\n2,-€2.50\n", {"id": N, "price": F}, [(1, 5.0), (2, -2.5)], columns={"price": {"unit": "€"}}),
    case("a currency's code", "id,price\n1,5.00 EUR\n2,2.50 EUR\n", {"id": N, "price": F}, [(1, 5.0), (2, 2.5)], columns={"price": {"unit": "EUR"}}),
    case("words for no value", "id,n,km\n1,NULL,NaN\n2,3,-\n4,-,0.5\n", {"id": N, "n": N, "km": F}, [(1, None, None), (2, 3, None), (4, None, 0.5)], null_values=["-", "NULL", "NaN"]),
    case("a database's sign for no value", "id,n\n1,\\N\n2,3\n", {"id": N, "n": N}, [(1, None), (2, 3)], null_values=["\\N"]),
    case("whole numbers with gaps, as pandas writes them", "id,n\n1,7.0\n2,\n3,8.0\n", {"id": N, "n": N}, [(1, 7), (2, None), (3, 8)]),
    case("yes and no", "id,late\n1,yes\n2,No\n", {"id": N, "late": B}, [(1, True), (2, False)], csv={"true_values": ["yes"], "false_values": ["no"]}),
    case("t and f", "id,late\n1,t\n2,f\n", {"id": N, "late": B}, [(1, True), (2, False)], csv={"true_values": ["t"], "false_values": ["f"]}),
    case("moments with an offset", "id,at\n1,2024-01-31T08:00:00Z\n2,2024-07-01 08:00:00+02:00\n", {"id": N, "at": AT}, OFFSETS),
    case("minutes and an offset", "id,at\n1,2024-01-31T08:00Z\n2,2024-07-01T08:00+02:00\n", {"id": N, "at": AT}, OFFSETS, columns={"at": {"format": "%Y-%m-%dT%H:%M%#z"}}),
    case("times without an offset", "id,at\n1,2024-01-31 08:00:00\n2,2024-07-01 08:00:00\n", {"id": N, "at": AT}, CLOCKS, columns={"at": {"time_zone": "UTC"}}),
    case("minutes", "id,at\n1,2024-01-31 08:00\n2,2024-07-01 08:00\n", {"id": N, "at": AT}, CLOCKS, columns={"at": {"time_zone": "UTC"}}),
    case("the day first", "id,at\n1,31.01.2024 08:00\n2,01.07.2024 08:00\n", {"id": N, "at": AT}, CLOCKS, columns={"at": {"format": "%d.%m.%Y %H:%M", "time_zone": "UTC"}}),
    case("the month first, half days", "id,at\n1,01/31/2024 8:00 PM\n2,07/01/2024 8:00 AM\n", {"id": N, "at": AT}, [(1, utc(2024, 1, 31, 20)), (2, utc(2024, 7, 1, 8))], columns={"at": {"format": "%m/%d/%Y %I:%M %p", "time_zone": "UTC"}}),
    case("seconds since 1970", "id,created_at\n1,1706688000\n2,1719820800\n", {"id": N, "created_at": AT}, CLOCKS, columns={"created_at": {"format": "epoch_seconds"}}),
    case("milliseconds since 1970", "id,ts\n1,1706688000000\n2,1719820800000\n", {"id": N, "ts": AT}, CLOCKS, columns={"ts": {"format": "epoch_milliseconds"}}),
    case("dates", "id,day\n1,2024-01-31\n2,2024-07-01\n", {"id": N, "day": D}, DAYS),
    case("dates, the day first", "id,day\n1,31/01/2024\n2,01/07/2024\n", {"id": N, "day": D}, DAYS, columns={"day": {"format": "%d/%m/%Y"}}),
]  # fmt: skip
