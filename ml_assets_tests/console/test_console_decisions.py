"""The pages of decisions: what they list, what one rests on, and a person's answer to one that waits."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ml_assets.console.pages.decisions.page import name_person, read_wanted
from ml_assets.console.pages.decisions.read import DecisionFilter, list_decisions
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.lake.records import add_records
from ml_assets.registry.decisions import Decisions, read_decisions
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.retraining.evidence import Evidence
from ml_assets.serving.access.admission import Admission
from ml_assets.training.promotion.approval import ask_for_approval
from ml_assets.training.promotion.records import PromotionDecision, PromotionEvidence

from .conftest import ADDRESS, HOSTILE, NOW

EARLIER = datetime(2024, 5, 2, tzinfo=UTC)


def model(name: str) -> DeclaredModel:
    return DeclaredModel(
        name=name, description="Whether an order comes back.", spine="orders", features=["order"],
        label={"column": "returned", "known_at": "settled_at"},
        split={"validation": "14d", "holdout": "14d", "gap": "2d"},
    )  # fmt: skip


class Registry:
    """Which version serves, in memory."""

    def __init__(self):
        self.serves, self.carried_out = {}, {}

    def champion(self, name):
        return None if name not in self.serves else SimpleNamespace(version=self.serves[name])

    def challenger(self, _name):
        return None

    def run_of(self, _name, version):
        return f"run{version}"

    def settled(self, name):
        return self.carried_out.get(name)

    def settle(self, name, decision):
        self.carried_out[name] = decision

    def promote(self, name, version, **_):
        self.serves[name] = version

    def annotate(self, *_, **__):
        pass

    def resumed_run(self, _):
        return SimpleNamespace(set_tags=lambda _: None)


def promoting(name, challenger, champion, reason="It is no worse."):
    item = PromotionEvidence(name="roc_auc", observed=0.7125, threshold=0.6, passed=True, source=f"floor {HOSTILE}")
    return PromotionDecision(
        model=name, challenger=challenger, champion=champion, promote=True, rule="no_worse_than_champion",
        reason=reason, evidence=(item,),
    )  # fmt: skip


def add(decisions, decision, month):
    run = f"run{decision.challenger}"
    return decisions.add(decision, run_id=run, as_of=f"2024-{month:02}-01T00:00:00+00:00", decided_at=EARLIER)


def retraining(number, drop, *, retrain, reason="because"):
    evidence = Evidence(
        kind="realised", observed=0.61, threshold=0.65, breached=retrain, breaches=2, chunks=3, unit="roc_auc",
        side="below", source=f"labels {HOSTILE}",
    )  # fmt: skip
    return DecisionRecord(
        id=f"r{number}", model="returns", drop=drop, as_of=f"2024-0{number}-15T00:00:00+00:00", champion="1",
        retrain=retrain, rule="realised" if retrain else "nothing_breached", reason=reason, evidence=(evidence,),
        causes=({"feature": HOSTILE, "psi": 0.4, "contribution": 0.25, "weight": 0.1},),
    )  # fmt: skip


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def lived(lake, registry):
    """Model returns: version 1 serves, 2 waits; drop April decided twice. Model delay: version 1 serves."""
    returns = Decisions(lake, registry, "returns")
    first = add(returns, promoting("returns", "1", None), 2)
    waits = add(returns, ask_for_approval(promoting("returns", "2", "1", f"Better {HOSTILE}.")), 4)
    add(Decisions(lake, registry, "delay"), promoting("delay", "1", None), 1)
    records = [
        retraining(3, "2024-04", retrain=False),
        retraining(4, "2024-04", retrain=True, reason=HOSTILE),
        retraining(5, "2024-05", retrain=False),
    ]
    columns = [{"drop": each.drop, "decision_id": each.id} for each in records]
    add_records(lake, "returns/retrain_decision", records, columns, "drop")
    return SimpleNamespace(first=first, waits=waits)


MODELS = (model("returns"), model("delay"))


def listed(stores, **wanted):
    return [(row["id"], row["outcome"]) for row in list_decisions(stores, DecisionFilter(**wanted)).rows]


def test_decisions_of_all_models_are_listed_the_newest_first(stores_of, lived):
    stores = stores_of(*MODELS)
    every = list_decisions(stores, DecisionFilter())
    assert [(row["model"], row["about"], row["outcome"], row["stands"]) for row in every.rows] == [
        ("returns", "drop 2024-05", "wait", True),
        ("returns", "drop 2024-04", "retrain", True),
        ("returns", "version 2", "wait for approval", True),
        ("returns", "drop 2024-04", "wait", False),
        ("returns", "version 1", "promote", True),
        ("delay", "version 1", "promote", True),
    ]
    assert (every.found, every.pages, [row["id"] for row in every.waiting]) == (6, 1, [lived.waits.id])
    assert every.rows[0]["by"] == "rule nothing_breached"


@pytest.mark.usefixtures("lived")
def test_decisions_are_filtered_by_model_kind_outcome_and_time(stores_of):
    stores = stores_of(*MODELS)
    assert len(listed(stores, model="delay")) == 1
    assert listed(stores, kind="retraining", outcome="wait") == [("r5", "wait"), ("r3", "wait")]
    march, april = datetime(2024, 3, 15, tzinfo=UTC), datetime(2024, 4, 15, tzinfo=UTC)
    assert [outcome for _, outcome in listed(stores, since=march, until=april)] == ["wait for approval", "wait"]
    assert listed(stores, model="nobody") == []
    assert listed(stores, page=2) == []


def test_a_model_that_has_decided_nothing_is_no_error(console):
    page = console(*MODELS).get("/decisions")
    assert (page.status_code, "Nothing has been decided" in page.text) == (200, True)


@pytest.mark.parametrize(
    "query",
    [
        "kind=other",
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B02:00",
        "page=0",
        "page=x",
        "page=-1",
        f"page={'9' * 30}",
    ],
)
def test_what_cannot_be_read_of_a_query_is_said(console, query):
    answer = console(*MODELS).get(f"/decisions?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


def test_moments_of_a_query_are_utc_where_they_name_no_zone():
    wanted = read_wanted({"since": "2024-01-31", "until": "2024-02-01T02:00:00+02:00", "page": "3"})
    assert (wanted.since, wanted.until, wanted.page) == (
        datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), 3,
    )  # fmt: skip


def test_a_decision_has_a_page_with_its_evidence_and_json(console, lived):
    client = console(*MODELS)
    shown = client.get("/decisions/r4?format=json").json()["decision"]
    assert [
        (e["name"], e["observed"], e["limit"], e["side"], e["broken"], e["counted"]) for e in shown["evidence"]
    ] == [("realised (roc_auc)", 0.61, 0.65, "below", True, "2 of 3")]
    assert shown["causes"] == [{"feature": HOSTILE, "psi": 0.4, "contribution": 0.25}]
    promotion = client.get(f"/decisions/{lived.first.id}?format=json").json()["decision"]
    assert [(e["name"], e["observed"], e["broken"]) for e in promotion["evidence"]] == [("roc_auc", 0.7125, False)]
    assert promotion["run_id"] == "run1"
    assert "/models/returns/card/1" in client.get(f"/decisions/{lived.first.id}").text


def test_a_decision_that_is_not_there_says_so(console):
    answer = console(*MODELS).get(f"/decisions/{HOSTILE}")
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


def test_hostile_texts_are_escaped_on_all_pages(console, lived):
    client = console(*MODELS)
    for path in ("/decisions", f"/decisions?model={HOSTILE}", "/decisions/r4", f"/decisions/{lived.waits.id}"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in client.get("/decisions/r4").text


def form_of(client, path):
    """The token of the form on a page."""
    text = client.get(path).text
    return text.partition('name="csrf" value="')[2].partition('"')[0]


def send(client, path, **fields):
    return client.post(path, data=fields, headers={"origin": ADDRESS})


def test_a_person_approves_on_the_page_and_the_record_keeps_who_and_why(console, lake, registry, lived):
    client, path = console(*MODELS, registry=registry), f"/decisions/{lived.waits.id}"
    token = form_of(client, path)
    answer = send(client, path, csrf=token, answer="approve", by="Ann Lee", because="looks right")
    made = read_decisions(lake, "returns")[-1]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/decisions/{made.id}")
    assert (registry.serves["returns"], made.by, made.because, made.decided_at) == ("2", "Ann Lee", "looks right", NOW)
    shown = client.get(answer.headers["location"]).text
    assert "Ann Lee" in shown
    assert "looks right" in shown
    assert 'name="answer"' not in client.get(path).text
    again = send(client, path, csrf=token, answer="approve", by="Bob")
    assert again.status_code == 409
    assert "the last decision on it: Version 2 was approved by Ann Lee (looks right)" in again.text
    assert read_decisions(lake, "returns")[-1] == made


def test_a_person_refuses_on_the_page(console, lake, registry, lived):
    client, path = console(*MODELS, registry=registry), f"/decisions/{lived.waits.id}"
    answer = send(client, path, csrf=form_of(client, path), answer="refuse", by="Ann Lee")
    assert answer.status_code == 303
    assert (registry.serves["returns"], read_decisions(lake, "returns")[-1].answer) == ("1", "refuse")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"answer": "approve", "by": ""}, 400),
        ({"answer": "maybe", "by": "Ann"}, 400),
        ({"by": "Ann"}, 400),
        ({"answer": "approve", "by": "Ann", "csrf": "of another session"}, 403),
    ],
)
def test_what_is_no_answer_changes_nothing(console, lake, registry, lived, fields, status):
    client, path = console(*MODELS, registry=registry), f"/decisions/{lived.waits.id}"
    before = read_decisions(lake, "returns")
    assert send(client, path, **({"csrf": form_of(client, path)} | fields)).status_code == status
    assert (registry.serves["returns"], read_decisions(lake, "returns")) == ("1", before)


def test_only_what_waits_is_answered(console, registry, lived):
    client, path = console(*MODELS, registry=registry), f"/decisions/{lived.waits.id}"
    token = form_of(client, path)
    for other in (lived.first.id, "r4"):
        assert send(client, f"/decisions/{other}", csrf=token, answer="approve", by="Ann").status_code == 409
    assert registry.serves["returns"] == "1"


def test_a_version_that_was_overtaken_is_not_approved(console, registry, lived):
    client, path = console(*MODELS, registry=registry), f"/decisions/{lived.waits.id}"
    token = form_of(client, path)
    registry.serves["returns"] = "7"
    answer = send(client, path, csrf=token, answer="approve", by="Ann")
    assert (answer.status_code, registry.serves["returns"]) == (409, "7")
    assert "version 7 serves by now" in answer.text


def test_only_a_key_with_the_scope_admin_approves_and_its_name_is_kept(console, lake, registry, lived, keys):
    file, secrets = keys
    client = console(*MODELS, registry=registry, admission=Admission(file=file))
    path = f"/decisions/{lived.waits.id}"

    def answered(scope):
        headers = {"authorization": f"Bearer {secrets[scope]}"}
        return client.post(path, data={"answer": "approve", "by": "Ann"}, headers=headers).status_code

    assert answered("read") == 403
    assert registry.serves["returns"] == "1"
    assert answered("admin") == 303
    assert read_decisions(lake, "returns")[-1].by == "Ann (key who-admin)"


@pytest.mark.parametrize(
    ("typed", "key", "name"),
    [
        ("Ann  Lee ", "", "Ann Lee"),
        ("", "ops", "ops"),
        ("ops", "ops", "ops"),
        ("Ann", "ops", "Ann (key ops)"),
        ("", "", ""),
    ],
)
def test_who_decides_is_named_by_what_was_typed_and_the_key(typed, key, name):
    assert name_person(typed, key) == name


def test_a_long_list_is_shown_in_parts(console, lake):
    one = retraining(5, "2024-05", retrain=False)
    records = [one.model_copy(update={"id": f"d{n}", "drop": f"2024-05-{n}"}) for n in range(250)]
    columns = [{"part": "all", "decision_id": each.id} for each in records]
    add_records(lake, "returns/retrain_decision", records, columns, "part")
    client = console(*MODELS)
    parts = [client.get(f"/decisions?format=json&page={page}").json()["decisions"] for page in (1, 2, 3, 4)]
    assert [len(part["rows"]) for part in parts] == [100, 100, 50, 0]
    assert len({row["id"] for part in parts for row in part["rows"]}) == 250
    text = client.get("/decisions?kind=retraining&page=2").text
    assert "kind=retraining" in text
    assert "page=3" in text
