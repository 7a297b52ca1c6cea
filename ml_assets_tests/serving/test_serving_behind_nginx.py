"""The guide's configuration of nginx, in front of a real server of predictions and of stand-ins for the pages."""

import base64
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from ml_assets.serving.access.admission import Admission
from ml_assets.serving.access.digests import digest_of
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

GUIDE = Path(__file__).parents[2] / "docs/proxies.md"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
ROW = json.dumps({"instances": [{"km": 12.5, "express": False, "courier": "bob"}]})
BEARER = {"authorization": "Bearer secret", "content-type": "application/json"}
BASIC = {"authorization": "Basic " + base64.b64encode(b"ann:word").decode()}

if NGINX is None and not os.environ.get("ML_ASSETS_REQUIRE_NGINX"):
    pytest.skip("no `nginx` program: install nginx-light", allow_module_level=True)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("connection") == "upgrade" and self.path == "/graphql":
            self.send_response(101)
            self.send_header("upgrade", "websocket")
            self.send_header("connection", "upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.read(5))
            self.close_connection = True
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        size = str(len(self.rfile.read(int(self.headers["content-length"])))).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(size)))
        self.end_headers()
        self.wfile.write(size)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def calls():
    """A gRPC server that answers each call with what it was sent and the key that came with it."""

    class Echo(grpc.GenericRpcHandler):
        def service(self, details):  # noqa: ARG002
            return grpc.unary_unary_rpc_method_handler(
                lambda message, context: message + dict(context.invocation_metadata())["authorization"].encode()
            )

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def proxy(registry, run_server, page, calls, certificate, tmp_path):
    """nginx with the guide's configuration; its port."""
    app = make_app(registry, ["late"], Limits(), admission=Admission((digest_of("secret"),)))
    users = tmp_path / "users"
    users.write_text("ann:{PLAIN}word\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {
        "127.0.0.1:8080": run_server(app),
        "127.0.0.1:8081": f"127.0.0.1:{calls}",
        "127.0.0.1:3000": f"127.0.0.1:{page}",
        "127.0.0.1:5000": f"127.0.0.1:{page}",
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/ml_assets.users": users,
        "/etc/ssl/ml_assets/chain.pem": certificate,
        "/etc/ssl/ml_assets/key.pem": certificate,
    }
    (text,) = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for named, here in places.items():
        assert named in text
        text = text.replace(named, str(here))
    folders = "".join(
        f"{each}_temp_path {tmp_path};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"{'user root;' if os.getuid() == 0 else ''} daemon off; worker_processes 1; pid {tmp_path}/pid;\n"
        f"error_log {tmp_path}/error.log; events {{}}\nhttp {{ access_log off;\n{folders}\n{text} }}\n"
    )
    process = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(whole)], stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < until
            time.sleep(0.02)
    yield port
    process.terminate()
    process.wait()


def trusting(certificate, *protocols):
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False  # the certificate is for the address
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@pytest.fixture
def ask(proxy, certificate):
    def request(host, path, body=None, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", proxy, timeout=60, context=trusting(certificate))
        connection.request("POST" if body else "GET", path, body, {"host": f"{host}.example.com", **headers})
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        return answer.status, told

    return request


def test_predictions_need_their_key_and_keep_to_their_limits(ask):
    status, told = ask("models", "/invocations", ROW, **BEARER)
    assert (status, len(json.loads(told)["predictions"])) == (200, 1)
    assert ask("models", "/invocations", ROW, **BASIC)[0] == 401
    assert ask("models", "/metrics", **BEARER)[0] == 404
    assert ask("models", "/v2/health/ready")[0] == 200
    assert ask("models", "/v2", pad="x" * 20_000, **BEARER)[0] == 400
    assert ask("models", "/invocations", " " * (9 << 20), **BEARER)[0] == 413


@pytest.mark.parametrize("host", ["dagster", "mlflow"])
def test_pages_need_a_password_which_is_not_handed_on(ask, page, host):
    assert [ask(host, "/", **each)[0] for each in ({}, {"authorization": "Basic YTpi"}, BEARER)] == [401] * 3
    status, told = ask(host, "/", upgrade="websocket", connection="upgrade", **BASIC)
    got = json.loads(told)
    assert status == 200
    assert (got["host"], "authorization" in got) == (f"127.0.0.1:{page}", False)
    assert got.get("upgrade") == ("websocket" if host == "dagster" else None)
    status, told = ask(host, "/", origin=f"https://{host}.example.com", **BASIC)
    # MLflow refuses other origins than its own address.
    assert (status, "origin" in json.loads(told)) == (200, host == "dagster")
    assert ask(host, "/", origin="https://evil.example.org", **BASIC)[0] == 403


def test_a_web_socket_is_handed_on_in_both_directions_to_whom_has_the_password(proxy, certificate):
    def shake_hands(*lines):
        plain = socket.create_connection(("127.0.0.1", proxy), timeout=60)
        with trusting(certificate).wrap_socket(plain) as connection:
            head = ["GET /graphql HTTP/1.1", "Host: dagster.example.com", "Upgrade: websocket", "Connection: Upgrade"]
            connection.sendall("\r\n".join([*head, *lines, "", ""]).encode() + b"frame")
            return connection.makefile("rb").read()

    assert shake_hands("Connection: close").startswith(b"HTTP/1.1 401 ")
    told = shake_hands(f"Authorization: {BASIC['authorization']}")
    assert told.startswith(b"HTTP/1.1 101 ")
    assert told.endswith(b"\r\n\r\nframe")


def test_artifacts_may_be_large_where_models_are_sent_to_alone(ask):
    large, path = b"x" * (9 << 20), "/api/2.0/mlflow-artifacts/artifacts/model.bin"
    assert ask("mlflow", path, large, **BASIC) == (200, str(len(large)).encode())
    assert ask("mlflow", path, b"x")[0] == 401
    assert ask("dagster", "/graphql", b'{"query": "{version}"}', **BASIC) == (200, b"22")
    assert ask("dagster", "/graphql", large, **BASIC)[0] == 413


def test_http_2_is_spoken(proxy, certificate):
    """A request by hand: literal header fields and one frame of data (RFC 9113, RFC 7541)."""

    def field(index, value, name=b""):
        return bytes([index, *([len(name)] if name else [])]) + name + bytes([len(value)]) + value

    def frame(kind, flags, stream, content):
        return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content

    head = b"\x83\x87" + field(4, b"/invocations") + field(1, b"models.example.com")
    head += b"".join(field(0, value.encode(), name.encode()) for name, value in BEARER.items())
    plain = socket.create_connection(("127.0.0.1", proxy), timeout=60)
    with trusting(certificate, "h2", "http/1.1").wrap_socket(plain) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, head) + frame(0, 1, 1, ROW.encode()))
        file, told = connection.makefile("rb"), {}
        while True:
            size, kind, flags, stream = (int.from_bytes(file.read(each), "big") for each in (3, 1, 1, 4))
            content = file.read(size)
            if stream == 1:
                told[kind] = told.get(kind, b"") + content
                if flags & 1:
                    break
    assert told[1][:1] == b"\x88"  # status 200
    assert len(json.loads(told[0])["predictions"]) == 1


def test_grpc_is_handed_on(proxy, certificate):
    pem = certificate.read_bytes()
    trusted = grpc.ssl_channel_credentials(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    options = [("grpc.default_authority", "models.example.com"), ("grpc.ssl_target_name_override", "127.0.0.1")]
    with grpc.secure_channel(f"127.0.0.1:{proxy}", trusted, options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert call(b"asked ", metadata=[("authorization", "Bearer secret")], timeout=60) == b"asked Bearer secret"
