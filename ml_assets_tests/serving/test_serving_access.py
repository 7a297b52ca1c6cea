"""Who may do what: which key each route needs, how many requests it may make, and what is told of it."""

import json
import logging
import os
import stat
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ml_assets.commands.serving.serve import check_key_file
from ml_assets.serving.access.admission import Admission, credential
from ml_assets.serving.access.allowance import Allowance, shared_number
from ml_assets.serving.access.audit import AuditTrail
from ml_assets.serving.access.digests import digest_of
from ml_assets.serving.access.key_file import KeyFile
from ml_assets.serving.access.scopes import SCOPES
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

ROW = {"km": 12.5, "express": False, "courier": "bob"}
PREDICTS = (":predict", ":explain", ":classify", ":regress", "/predict", "/infer", "/invocations")


@pytest.fixture
def file(tmp_path):
    return KeyFile(tmp_path / "keys.json")


def needed(route, method):
    """The scope of a route by its path alone, as the guide's table says it."""
    if route in ("/", "/ping", "/health", "/v2/health/live", "/v2/health/ready") or route.startswith("/docs/"):
        return None
    if route.startswith("/v1/push/"):
        return "push"
    if route.endswith(PREDICTS) or (route.startswith("/predictions/") and method in ("POST", "PUT")):
        return "predict"
    if any(part in route for part in ("sharedmemory", "/trace", "/logging", "load")):
        return "admin"
    return "read"


def test_every_route_lets_in_those_keys_alone_whose_scope_it_needs(registry, file, declared, store):
    keys = {scope: file.add(scope, [scope])[1] for scope in SCOPES}
    server = make_app(registry, ["late"], Limits(), declared, store, admission=Admission(file=file))
    declared_routes = {
        (route.path.replace(":name}", "}").replace(":path}", "}"), method)
        for route in server._rest.routes
        for method in route.methods - {"HEAD"}
    }
    assert set(server.scopes) == declared_routes
    assert set(server.scopes.values()) == {None, *SCOPES}
    assert {key: needed(*key) for key in server.scopes} == server.scopes
    with TestClient(server) as client:
        for (route, method), scope in server.scopes.items():
            path = route.format(model="late", version="1", label="champion", view="route", table="drives", name="x")
            statuses = {
                who: client.request(method, path, headers={"authorization": f"Bearer {key}"}).status_code
                for who, key in keys.items()
            }
            let_in = {who for who, status in statuses.items() if status not in (401, 403)}
            assert let_in == (set(keys) if scope is None else {scope, "admin"}), (route, method, statuses)
            if scope is not None:
                refused = client.request(method, path)
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_key_is_let_in_as_soon_as_it_is_made_and_no_more_once_it_is_revoked(file):
    admission = Admission(file=file)
    assert (admission.required, admission.admit("", "admin")) == (False, "")
    _, ann = file.add("ann", ["predict"])
    admission.look()
    assert admission.admit(f"bearer {ann}", "predict") == "ann"
    with pytest.raises(BadRequest, match="the key 'ann' does not allow this: it needs 'push', and has predict"):
        admission.admit(f"Bearer {ann}", "push")
    file.remove("ann")
    admission.look()
    for header in (f"Bearer {ann}", "", "Bearer", f"Basic {ann}", ann, f"Bearer {digest_of(ann)}"):
        with pytest.raises(BadRequest) as refused:
            admission.admit(header, "predict")
        assert refused.value.status == 401
    # The last key is gone: nobody is let in, instead of everybody.
    assert Admission(file=file).required


def test_a_file_that_is_broken_or_gone_leaves_the_keys_as_they_are_and_is_told_once(file, caplog):
    _, ann = file.add("ann", ["read"])
    admission = Admission(file=file)
    text = file.path.read_text()
    for spoil in (lambda: file.path.write_text('{"keys": [{'), file.path.unlink):
        spoil()
        for _ in range(3):
            admission.look()
        assert admission.admit(f"Bearer {ann}", "read") == "ann"
    assert ["cannot be read" in line or "is gone" in line for line in caplog.messages] == [True, True]
    file.path.write_text(text.replace('"ann"', '"eve"'))
    admission.look()
    assert admission.admit(f"Bearer {ann}", "read") == "eve"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"digest": "the key itself"}, "digest .*never the key"),
        ({"digest": sha256(b"").hexdigest()}, "digest .*never the key"),
        ({"scopes": []}, "scopes: name at least one of predict, push, read, admin"),
        ({"scopes": ["write"]}, "Input should be 'predict', 'push', 'read' or 'admin'"),
        ({"name": "a\nb"}, "must be 1 to 64 letters"),
        ({"per_minute": -1}, "greater than or equal to 0"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_without_showing_what_may_be_a_key(file, entry, message):
    key = {"name": "ann", "digest": "a" * 64, "scopes": ["read"]} | entry
    file.path.write_text(json.dumps({"keys": [key]}))
    with pytest.raises(ValueError, match=message) as refused:
        Admission(file=file)
    assert "the key itself" not in str(refused.value)
    assert str(file.path) in str(refused.value)


@pytest.mark.parametrize("there", [[], ["old"]])
def test_a_full_disk_leaves_the_keys_as_they_were(file, monkeypatch, there):
    for name in there:
        file.add(name, ("read",))
    before = {path.name for path in file.path.parent.iterdir()} | {"keys.json.lock"}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ml_assets.serving.access.key_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.add("new", ("read",))
    assert ([key.name for key in file.read()], file.lost) == (there, False)
    assert {path.name for path in file.path.parent.iterdir()} == before


def test_names_and_digests_are_of_one_key(file):
    file.add("ann", ["read"])
    with pytest.raises(ValueError, match="there is a key named 'ann' already"):
        file.add("ann", ["push"])
    with pytest.raises(LookupError, match=r"no key named 'bob' in .*; there are: ann"):
        file.remove("bob")
    (key,) = file.read()
    file.path.write_text(json.dumps({"keys": [key.model_dump(), key.model_dump() | {"name": "bob"}]}))
    with pytest.raises(ValueError, match="two keys of one digest"):
        file.read()


def test_the_file_holds_no_key_and_only_its_owner_reads_it(file):
    key, secret = file.add("ann", ["push", "predict"], per_minute=6)
    assert secret not in file.path.read_text()
    assert key.digest == sha256(secret.encode()).hexdigest()
    assert (key.scopes, key.per_minute) == (("predict", "push"), 6)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert len({file.add(f"k{number}", ["read"])[1] for number in range(5)} | {secret}) == 6


def test_keys_of_the_environment_may_do_everything(file):
    file.add("ann", ["read"])
    admission = Admission((digest_of("one"), digest_of("two")), file)
    assert [admission.admit(f"Bearer {key}", "admin") for key in ("one", "two")] == ["environment-1", "environment-2"]


def test_an_allowance_by_hand():
    """Twelve a minute: one each five seconds, two at once."""
    second, allowance = 1_000_000_000, Allowance(12, [0])
    at = [0, 0, 0, 4, 5, 5, 60, 60, 60]
    assert [allowance.take(100 * second + moment * second) for moment in at] == [0, 0, 5, 1, 0, 5, 0, 0, 5]


@given(st.integers(1, 600), st.lists(st.integers(0, 3_000_000_000), min_size=1, max_size=60))
def test_no_minute_has_more_than_is_allowed_and_its_burst(per_minute, pauses):
    allowance, now, taken = Allowance(per_minute, [0]), 0, []
    for pause in pauses:
        now += pause
        wait = allowance.take(now)
        if wait:
            # What waits as long as it is told is let in, and not a second earlier.
            spared = Allowance(per_minute, list(allowance._kept))
            assert spared.take(now + wait * 1_000_000_000) == 0
            assert Allowance(per_minute, list(allowance._kept)).take(now + (wait - 1) * 1_000_000_000) > 0
        else:
            taken.append(now)
    for begin in taken:
        within = sum(begin <= moment < begin + 60_000_000_000 for moment in taken)
        assert within <= per_minute + max(1, per_minute // 6)


def test_processes_count_together(tmp_path):
    first, second = (Allowance(60, shared_number(tmp_path / "shared", "ann")) for _ in range(2))
    assert [each.take(10**9) for each in (first, second) * 5] == [0] * 10
    assert (first.take(10**9), second.take(10**9)) == (1, 1)


def test_too_many_requests_wait_and_other_keys_do_not(registry, file):
    _, ann = file.add("ann", ["predict"], per_minute=1)
    _, bob = file.add("bob", ["predict"])
    clock = iter([0, 0, 59_500_000_000, 60_000_000_000])
    admission = Admission(file=file, clock=lambda: next(clock))
    with TestClient(make_app(registry, ["late"], Limits(), admission=admission)) as client:

        def ask(key):
            body = {"instances": [ROW]}
            return client.post("/invocations", json=body, headers={"authorization": f"Bearer {key}"})

        assert ask(ann).status_code == 200
        for wait in ("60", "1"):
            refused = ask(ann)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, wait)
            assert refused.json() == {"error": f"the key 'ann' has made too many requests: try again in {wait} s"}
            assert ask(bob).status_code == 200
        assert ask(ann).status_code == 200


def test_the_name_stands_in_log_span_and_audit_and_the_key_nowhere(
    registry, file, declared, store, noon, tmp_path, caplog
):
    _, ann = file.add("ann", ["predict", "push"])
    audit, kept = tmp_path / "audit.ndjson", []
    app = make_app(
        registry, ["late"], Limits(), declared, store,
        clock=lambda: noon, admission=Admission(file=file), audit=AuditTrail(audit), open_log=lambda *_: Kept(kept),
    )  # fmt: skip
    fact = {"courier": "ann", "driven_at": "2024-01-31T11:30:00Z", "length": 20.0}
    with TestClient(app) as client, caplog.at_level(logging.INFO):
        headers = {"authorization": f"Bearer {ann}", "x-request-id": "r-1"}
        assert client.post("/v1/push/route", json={"rows": [fact]}, headers=headers).status_code == 200
        assert client.post("/v1/push/road", json={"rows": [fact]}, headers=headers).status_code == 404
        assert client.post("/v1/push/route", json={"rows": [fact]}).status_code == 401
        assert client.post("/invocations", json={"instances": [ROW]}, headers=headers).status_code == 200
    taken, wrong = map(json.loads, audit.read_text().splitlines())
    assert taken == {
        "at": "2024-01-31T12:00:00+00:00", "key": "ann", "request_id": "r-1", "path": "/v1/push/route", "status": 200,
        "answer": {
            "view": "route", "rows": 1, "entities": 1, "seq": taken["answer"]["seq"],
            "complete_until": "2024-01-31T12:00:00+00:00",
        },
    }  # fmt: skip
    assert (wrong["path"], wrong["status"], wrong["key"]) == ("/v1/push/road", 404, "ann")
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    told = [record.finished.key for record in caplog.records if hasattr(record, "finished")]
    assert told == ["ann", "ann", "", "ann"]
    assert [row.api_key for row in kept] == ["ann"]
    assert ann not in caplog.text + audit.read_text()


class Kept:
    """Stands for the spool of the log."""

    fault = ""
    written = dropped = 0

    def __init__(self, rows):
        self.put = lambda model, answered, commit=True: rows.extend(answered)  # noqa: ARG005

    def is_durable(self, model):  # noqa: ARG002
        return True

    def commit(self):
        pass

    def close(self):
        pass


def test_an_audit_that_cannot_be_written_is_logged_and_stops_nothing(tmp_path, caplog):
    AuditTrail(tmp_path / "no" / "folder").record({"revoked": "ann"})
    assert "cannot be written, No such file" in caplog.text
    assert '{"revoked":"ann"}' in caplog.text
    assert not os.path.exists(tmp_path / "no")


def unlinked(path):
    path.unlink()


def cut(path):
    path.write_text('{"keys": [{')


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [unlinked, cut, a_folder])
def test_a_process_that_starts_again_while_the_file_is_gone_or_broken_lets_nobody_in(file, tmp_path, caplog, spoil):
    together = tmp_path / "together"
    assert not Admission(file=file, shared=together).required
    key = file.add("ann", ["read"])[1]
    Admission(file=file, shared=together)
    text = file.path.read_text()
    spoil(file.path)
    again = Admission((digest_of("one"),), file, shared=together)
    for _ in range(3):
        again.look()
    (line,) = caplog.messages
    assert str(file.path) in line
    assert line.endswith("nobody is let in until it is right, but for the keys of ML_ASSETS_API_KEYS")
    # A key that may be in the file may be tried again; who bears none has nothing to wait for.
    assert refused(again, f"Bearer {key}") == (503, "5")
    assert refused(again, "") == (401, None)
    assert again.admit("Bearer one", "read") == "environment-1"
    if spoil is a_folder:
        file.path.rmdir()
    file.path.write_text(text)
    again.look()
    assert again.admit(f"Bearer {key}", "read") == "ann"
    assert refused(again, "Bearer other") == (401, None)


def refused(admission, header):
    with pytest.raises(BadRequest) as error:
        admission.admit(header, "read")
    return error.value.status, error.value.headers.get("retry-after")


def test_a_file_that_is_broken_when_it_is_first_seen_lets_nobody_in_any_more(file, tmp_path, caplog):
    """A worker that runs without keys, and one that starts again before any has read a file."""
    open_to_all = Admission(file=file, shared=tmp_path / "together")
    assert open_to_all.admit("", "admin") == ""
    file.path.write_text("[]")
    open_to_all.look()
    assert "nobody is let in until it is right" in caplog.messages[0]
    assert refused(open_to_all, "") == (401, None)
    assert refused(Admission(file=file, shared=tmp_path / "elsewhere", patient=True), "Bearer k") == (503, "5")
    with pytest.raises(ValueError, match="cannot be read"):
        Admission(file=file, shared=tmp_path / "third")


def test_a_folder_of_the_file_that_is_gone_does_not_end_who_looks(tmp_path):
    folder = tmp_path / "mount"
    file = KeyFile(folder / "keys.json")
    _, key = file.add("ann", ["read"])
    admission = Admission(file=file)
    folder.rename(tmp_path / "away")
    folder.write_text("no folder")
    admission.look()
    assert admission.admit(f"Bearer {key}", "read") == "ann"


def test_a_file_of_keys_that_is_not_there_though_it_should_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"ML_ASSETS_KEY_FILE names .*keys.json, which is not there"):
        check_key_file(tmp_path / "keys.json", file)
    check_key_file(None, file)
    file.add("ann", ["read"])
    check_key_file(None, file)
    text = file.path.read_text()
    file.path.unlink()
    with pytest.raises(
        ValueError, match=r"keys were made, and their file .*keys.json is gone.*`ml-assets keys remove-all"
    ):
        check_key_file(None, file)
    file.path.write_text(text)
    check_key_file(None, file)
    file.remove_all()
    check_key_file(None, file)
    assert not Admission(file=file).required
    with pytest.raises(LookupError, match="there are no keys"):
        file.remove_all()


def test_a_home_from_before_files_were_remembered_remembers_its_own_at_the_next_start(file):
    file.path.write_text('{"keys": []}')
    check_key_file(None, file)
    file.path.unlink()
    with pytest.raises(ValueError, match="keys were made"):
        check_key_file(None, file)


BEARER = (b"authorization", b"Bearer one")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], ""),
        ([(b"host", b"here")], ""),
        ([BEARER, (b"host", b"here")], "Bearer one"),
        ([BEARER, BEARER], "Bearer one"),
        ([BEARER, (b"authorization", b"Bearer two")], "two different Authorization headers"),
        ([BEARER, (b"authorization", b"")], "two different Authorization headers"),
        ([(b"authorization", "Bearer schlüssel".encode())], "must be ASCII"),
        ([(b"authorization", "Bearer schlüssel".encode("latin-1"))], "must be ASCII"),
    ],
)
def test_a_request_gives_one_credential_or_none(headers, wanted):
    if wanted.startswith("Bearer") or not wanted:
        assert credential(headers) == wanted
        return
    with pytest.raises(BadRequest, match=wanted) as refused:
        credential(headers)
    assert (refused.value.status, refused.value.headers) == (401, {"www-authenticate": "Bearer"})


def test_both_kinds_of_routes_refuse_two_different_credentials(registry):
    digests = tuple(sha256(key).hexdigest() for key in (b"one", b"two"))
    with TestClient(make_app(registry, ["late"], Limits(keys=digests))) as client:
        for other, status in (("Bearer one", 200), ("Bearer two", 401), ("Bearer schlüssel".encode(), 401)):
            headers = [("authorization", "Bearer one"), ("authorization", other)]
            assert client.get("/v2", headers=headers).status_code == status
            done = client.post("/invocations", json={"instances": [ROW]}, headers=headers)
            assert done.status_code == status, done.text
