"""A scaffolded contract accepts the sample that it came from, whatever dialect that is written in."""

import csv
import io
import sys
import types
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from ml_assets.quality.contracts import contract_schema, load_contract
from ml_assets.quality.drop_gate import gate_drop
from ml_assets.quality.gate import apply_contract
from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.spec import SourceSpec

MODULE = "scaffolded_sample_contract"


def scaffolded(path, content, **wanted):
    """The declaration and its contract that the scaffolder makes of a file, loaded; and what it says of them."""
    path.write_bytes(content)
    where = {"path": str(path)}
    new = infer_source("parcels", MODULE, Wanted(where, **wanted), read_sample(where, None))
    module = types.ModuleType(MODULE)
    exec(compile(new.contract, MODULE, "exec"), module.__dict__)
    module.Parcels.__module__ = MODULE
    sys.modules[MODULE] = module
    spec = SourceSpec(**new.values)
    return spec, load_contract(spec.contract), new


def accepted(spec, contract):
    """The rows that pass, where each drop passes its gate without a row in quarantine."""
    drops = read_drops(spec, None, contract_schema(contract))
    gated = [apply_contract(drop.frame, contract, spec.key_columns) for drop in drops.values()]
    assert [result.quarantine.to_dicts() for result in gated if result.quarantine.height] == []
    return pl.concat([result.validated for result in gated]).drop("_drop", "_content_hash")


WORDS = st.text(alphabet="abcXYZ äß€\"',;|\t\n\\.-", max_size=8)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(microsecond=0, second=0))


@st.composite
def files(draw):
    """Bytes of a file, and the values in it by column, as far as they can be told in only one way."""
    rows = draw(st.integers(1, 30))
    escape = draw(st.sampled_from([{}, {}, {"escapechar": "\\", "doublequote": False}]))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal, thousands = draw(st.sampled_from([(".", ""), (",", "."), (",", ""), (".", ","), (",", " "), (".", "'")]))
    if draw(st.booleans()):
        decimal, thousands = ".", ""
    null = draw(st.sampled_from(["", "NA", "NULL", "NaN", "-", "\\N"]))
    true, false = draw(st.sampled_from([("true", "false"), ("yes", "no"), ("t", "f"), ("1", "0"), ("True", "False")]))
    moment = draw(st.sampled_from(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p"]))
    sign = draw(st.sampled_from(["", "%", " €", " EUR"]))

    def number(value):
        text = f"{value:,.2f}".replace(",", "_").replace(".", decimal).replace("_", thousands)
        return text + sign

    def column(values):
        gaps = draw(st.lists(st.booleans(), min_size=rows, max_size=rows)) if draw(st.booleans()) else [False] * rows
        return [None if gap else value for value, gap in zip(values, gaps, strict=True)]

    listed = lambda values: draw(st.lists(values, min_size=rows, max_size=rows))  # noqa: E731
    floats = listed(st.integers(-(10**9), 10**9).map(lambda cents: cents / 100))
    known = {
        "id": list(range(100, 100 + rows)),
        "price": column([1234567.25, *floats][:rows]),
        "whole": column(listed(st.integers(-(10**6), 10**6))),
        "late": column([True, False, *listed(st.booleans())][:rows]),
        "sent_at": [at.replace(tzinfo=UTC) for at in [datetime(2024, 1, 31, 13), *listed(MOMENTS)][:rows]],
    }
    written = {
        "id": [str(value) for value in known["id"]],
        "price": [null if value is None else number(value) for value in known["price"]],
        "whole": [null if value is None else str(value) for value in known["whole"]],
        "late": [null if value is None else true if value else false for value in known["late"]],
        "sent_at": [value.strftime(moment) for value in known["sent_at"]],
        "note" if escape else 'a "note"': listed(WORDS.map(lambda word: word.replace("\\", "") if escape else word)),
    }
    names = list(written)
    table = [names, *(list(row) for row in zip(*written.values(), strict=True))]
    if draw(st.booleans()):
        table = [[str(place - 1) if place else "", *row] for place, row in enumerate(table)]
    elif draw(st.booleans()):
        table = [[*row, ""] for row in table]
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting, **escape).writerows(table)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]))
    content = text.getvalue().encode(encoding)
    assume(encoding != "cp1252" or not is_utf8_too(content))
    return content, known, written


def is_utf8_too(content):
    """Whether bytes of another encoding are words of UTF-8 as well, as \xdf\x80 is: nothing tells which are meant."""
    try:
        return not content.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False


# Without shrinking, which takes minutes and tells no more than the file that was made.
@pytest.mark.slow
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(file=files())
def test_a_scaffolded_contract_accepts_the_sample_it_came_from(tmp_path_factory, file):
    content, known, written = file
    spec, contract, _ = scaffolded(tmp_path_factory.mktemp("made") / "parcels.csv", content)
    rows = accepted(spec, contract)
    compare(rows, spec, known, written)


def compare(rows, spec, known, written):
    assert rows.height == len(known["id"])
    assert rows["id"].to_list() == known["id"]
    assert rows["sent_at"].to_list() == known["sent_at"]
    for name in ("price", "whole", "late"):
        if rows[name].dtype != pl.String:  # a column without a value, or with one word of a pair
            assert rows[name].to_list() == known[name]
    note = list(written)[-1]
    assert rows[note].fill_null("").to_list() == ["" if text in spec.null_values else text for text in written[note]]


def test_numbers_that_no_model_can_hold_become_null_where_the_sample_has_such(tmp_path):
    content = b"id,km,kg\n1,inf,1.5\n2,2.5,1e300\n3,-inf,NaN\n"
    spec, contract, new = scaffolded(tmp_path / "parcels.csv", content)
    assert (spec.infinite, new.notes["infinite"]) == ("null", "The sample has such in km, kg.")
    frame = read_drops(spec, None, contract_schema(contract))["whole"].frame
    result = gate_drop(spec, contract, "whole", frame, []).result
    assert result.quarantine.height == 0
    assert result.validated.select("km", "kg").rows() == [(None, 1.5), (2.5, None), (None, None)]
