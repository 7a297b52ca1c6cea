"""Who may look and who may change, and which requests are no person's own."""

import re
from datetime import timedelta

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from ml_assets.console.access.hosts import Hosts, is_loopback
from ml_assets.console.access.sessions import COOKIE, LASTS, Sessions
from ml_assets.console.opening import open_console
from ml_assets.serving.access.admission import Admission

from .conftest import ADDRESS, NOW

PAGE = {"accept": "text/html"}


def change(request):
    return JSONResponse({"form": dict(request.state.form), "key": request.state.key})


CHANGE = [Route("/change", change, methods=["POST"])]


def token_of(client, path="/sign-in"):
    return re.search(r'name="csrf" value="(\w+)"', client.get(path, headers=PAGE).text).group(1)


def sign_in(client, key):
    sent = {"key": key, "csrf": token_of(client), "next": "/"}
    return client.post("/sign-in", data=sent, headers={"origin": ADDRESS})


@pytest.fixture
def keyed(console, keys):
    file, secrets = keys
    return console(admission=Admission(file=file), routes=CHANGE), secrets


def test_every_answer_forbids_scripts_frames_and_keeping(console):
    for path, status in (("/", 200), ("/nothing", 404), ("/?format=json", 200)):
        answer = console().get(path)
        assert answer.status_code == status
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["script-src"] == "'self'"
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3001", 200), ("127.0.0.1:9", 200), ("[::1]:3001", 200), ("LOCALHOST", 200),
        ("attacker.example:3001", 421), ("localhost.attacker.example", 421), ("", 421),
        ("127.0.0.1@attacker.example", 421),
        ("[::1", 421),
    ],
)  # fmt: skip
def test_a_name_that_leads_here_by_somebody_elses_doing_is_refused(console, host, status):
    assert console().get("/", headers={"host": host}).status_code == status


def test_declared_names_and_the_bound_address_are_known():
    hosts = Hosts("10.0.0.7", ["Console.example.com"])
    assert hosts.knows("10.0.0.7:3001")
    assert hosts.knows("console.example.com")
    assert not hosts.knows("10.0.0.8:3001")
    assert not hosts.knows(None)


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
                      ("0.0.0.0", False), ("::", False), ("10.1.1.1", False), ("console.example.com", False)],
)  # fmt: skip
def test_addresses_that_only_this_machine_reaches(host, own):
    assert is_loopback(host) is own


def test_without_keys_other_addresses_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--host 0.0.0.0: .*`ml-assets keys new`"):
        open_console(tmp_path, None, Admission(), "0.0.0.0", [], lambda: NOW)


def test_without_a_key_a_browser_is_led_to_where_it_signs_in_and_a_program_is_refused(keyed):
    client, _ = keyed
    answer = client.get("/models/late?left=3&right=4", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/sign-in?next=%2Fmodels%2Flate%3Fleft%3D3%26right%3D4",
    )
    answer = client.get("/?format=json")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/static/console.css").status_code == 200


def test_a_browser_signs_in_once_by_a_cookie_that_no_script_and_no_other_site_uses(keyed):
    client, secrets = keyed
    answer = sign_in(client, secrets["read"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert secrets["read"] not in cookie
    page = client.get("/", headers=PAGE)
    assert page.status_code == 200
    assert "who-read" in page.text
    client.post("/sign-out", data={"csrf": token_of(client, "/")}, headers={"origin": ADDRESS})
    assert client.get("/", headers=PAGE).status_code == 303


def test_signing_out_ends_the_session_and_not_the_cookie_alone(keyed):
    client, secrets = keyed
    sign_in(client, secrets["read"])
    kept = client.cookies[COOKIE]
    client.post("/sign-out", data={"csrf": token_of(client, "/")})
    client.cookies.set(COOKIE, kept)
    assert client.get("/", headers=PAGE).status_code == 303


def test_a_key_that_is_revoked_ends_its_sessions(keyed, keys):
    client, secrets = keyed
    sign_in(client, secrets["read"])
    assert client.get("/", headers=PAGE).status_code == 200
    keys[0].remove("who-read")
    assert client.get("/", headers=PAGE).status_code == 303


@pytest.mark.parametrize(("key", "status"), [("mla_wrong", 401), ("", 401)])
def test_an_unknown_key_does_not_sign_in(keyed, key, status):
    answer = sign_in(keyed[0], key)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_a_key_without_the_scope_does_not_sign_in(keyed):
    client, secrets = keyed
    assert sign_in(client, secrets["predict"]).status_code == 403


@pytest.mark.parametrize(
    "target", ["//attacker.example", "https://attacker.example", "/\\attacker.example", "x", "/a\nb"]
)
def test_signing_in_leads_nowhere_else(keyed, target):
    client, secrets = keyed
    sent = {"key": secrets["read"], "csrf": token_of(client), "next": target}
    assert client.post("/sign-in", data=sent).headers["location"] == "/"


@pytest.mark.parametrize("cookie", ["", "x", "x.y", ".", "ünïcode.ß"])
def test_a_made_up_cookie_is_no_session(cookie):
    assert Sessions(lambda: NOW).find(cookie) is None


def test_a_session_ends_and_one_with_a_changed_name_never_began():
    moment = [NOW]
    sessions = Sessions(lambda: moment[0])
    cookie = sessions.begin("Bearer key")
    assert sessions.find(cookie).authorization == "Bearer key"
    assert sessions.find(f"x{cookie}") is None
    assert sessions.find(Sessions(lambda: NOW).begin("Bearer key")) is None
    moment[0] = NOW + LASTS - timedelta(seconds=1)
    assert sessions.find(cookie) is not None
    moment[0] = NOW + LASTS
    assert sessions.find(cookie) is None


def test_changes_need_the_scope_admin(keyed):
    client, secrets = keyed
    for scope, status in (("read", 403), ("predict", 403), ("admin", 200)):
        headers = {"authorization": f"Bearer {secrets[scope]}"}
        assert client.post("/change", data={"a": "1"}, headers=headers).status_code == status
    assert client.post("/change", data={"a": "1"}).status_code == 401


def test_a_change_names_the_key_of_the_session_that_made_it(keyed):
    client, secrets = keyed
    sign_in(client, secrets["admin"])
    sent = {"a": "1", "csrf": token_of(client, "/")}
    answer = client.post("/change", data=sent, headers={"origin": ADDRESS})
    assert answer.json() == {"form": sent, "key": "who-admin"}


def test_a_form_of_another_site_changes_nothing(keyed):
    client, secrets = keyed
    sign_in(client, secrets["admin"])
    mine = token_of(client, "/")
    for origin in ("https://attacker.example", "null", "http://localhost:3002", "http://localhost"):
        assert client.post("/change", data={"csrf": mine}, headers={"origin": origin}).status_code == 403
    for token in ("", "0" * 64, "ß"):
        assert client.post("/change", data={"csrf": token}, headers={"origin": ADDRESS}).status_code == 403


def test_the_token_of_one_session_is_none_of_another(keyed):
    client, secrets = keyed
    before = token_of(client)
    sign_in(client, secrets["admin"])
    assert client.post("/change", data={"csrf": before}).status_code == 403


def test_without_keys_a_form_needs_its_token_too(console):
    client = console(routes=CHANGE)
    assert client.post("/change", data={"a": "1"}).status_code == 403
    assert client.post("/change", data={"csrf": token_of(client)}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415), ("multipart/form-data; boundary=x", b"", 415),
        ("application/x-www-form-urlencoded", b"a=" + b"1" * 65536, 413),
        ("application/x-www-form-urlencoded", b"a=%ff", 400),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(console, kind, body, status):
    answer = console(routes=CHANGE).post("/change", content=body, headers={"content-type": kind})
    assert answer.status_code == status
