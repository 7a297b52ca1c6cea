"""What the scaffolder writes about a file as tools write it loads as it is, and its source step and gate pass."""

from datetime import UTC, datetime

import pytest
import yaml

from ml_assets import Source
from ml_assets.scaffolding.document import render_document
from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted

ROWS = [
    ";Nr.;Preis;Anteil;gesendet;verspätet",
    '0;1001;1.234,50 €;5%;31.01.2024 13:00;"ja"',
    "1;1002;0,99 €;12,5%;26.10.2024 08:15;nein",
    "2;1003;12,00 €;;27.10.2024 02:30;nein",  # shown twice in Berlin: 00:30 and 01:30 UTC
    "3;1004;-7,25 €;100%;27.10.2024 03:30;",
]
EXPECTED = [
    (1001, 1234.5, 5.0, datetime(2024, 1, 31, 12, tzinfo=UTC)),
    (1002, 0.99, 12.5, datetime(2024, 10, 26, 6, 15, tzinfo=UTC)),
    (1003, 12.0, None, datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
    (1004, -7.25, 100.0, datetime(2024, 10, 27, 2, 30, tzinfo=UTC)),
]


@pytest.fixture
def project(tmp_path, monkeypatch, make_project):
    """Makes a project of what is told from the file; fields may be changed."""

    def make(**changed):
        path = tmp_path / "parcels.csv"
        path.write_bytes("\r\n".join(ROWS).encode("cp1252"))
        where, name = {"path": str(path)}, f"scaffolded_{abs(hash(tmp_path))}"
        wanted = Wanted(where, timestamp="gesendet", time_zone="Europe/Berlin", grain="yearly")
        new = infer_source("parcels", name, wanted, read_sample(where, None))
        (tmp_path / f"{name}.py").write_text(new.contract)
        monkeypatch.syspath_prepend(tmp_path)
        text = render_document("ml_assets.Source", Source, new.values, new.notes)
        document = yaml.safe_load(text)
        document["attributes"] |= changed
        return make_project(document), text

    return make


RAW, GATE = "parcels/raw", ("parcels/validated", "parcels/quarantine")


def test_a_scaffolded_source_passes_its_own_gate(project):
    made, text = project()
    outcome = made.run(RAW, *GATE, drops=["2024"])
    assert outcome.errors == []
    rows = made.lake.scan("parcels/validated").sort("Nr.").select("Nr.", "Preis", "Anteil", "gesendet").collect()
    assert rows.rows() == EXPECTED
    said = " ".join(line.strip("# ") for line in text.splitlines())
    assert "The bytes are no UTF-8: the encoding of Western Europe is assumed." in said
    assert "gesendet: Europe/Berlin is assumed, as the times have no offset" in said
    assert "gesendet: the earliest of times that the clock showed twice" in said


def test_a_time_that_is_no_moment_is_quarantined_with_its_text(project):
    columns = {
        "gesendet": {"format": "%d.%m.%Y %H:%M", "time_zone": "Europe/Berlin"},
        "Preis": {"unit": "€"},
        "Anteil": {"unit": "%"},
    }
    made, _ = project(columns=columns)
    outcome = made.run(RAW, *GATE, drops=["2024"])
    assert outcome.errors == []
    quarantine = made.lake.scan("parcels/quarantine").select("Nr.", "_unread", "_rules", "_drop").collect()
    (row,) = quarantine.rows()
    assert row[:2] == (1003, "gesendet: ambiguous local time '27.10.2024 02:30'")
    assert row[2].startswith("every value can be read; gesendet: not_nullable")
    assert row[3] == "2024"
    assert "_unread" not in made.lake.scan("parcels/validated").collect_schema()


def test_a_wrong_format_stops_the_source_step_with_one_line(project):
    made, _ = project(columns={"gesendet": {"format": "%m/%d/%Y %H:%M", "time_zone": "Europe/Berlin"}})
    (error,) = made.run(RAW, drops=["2024"]).errors
    assert (
        "column 'gesendet': wrong type: '31.01.2024 13:00' in data row 1 is no time of the form %m/%d/%Y %H:%M" in error
    )
