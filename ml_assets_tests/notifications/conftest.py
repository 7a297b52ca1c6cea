"""Local receivers: a web server and a mail server that keep what they were sent."""

import base64
import contextlib
import http.server
import json
import socketserver
import ssl
import threading

import pytest

from ml_assets.notifications.notice import Notice
from ml_assets_tests.certificates import write_certificate


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def notice():
    return Notice("decision", "retrain returns", "AUC 0.681 < 0.70 & falling", {"model": "returns", "id": "<7>"})


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


class WebReceiver(http.server.ThreadingHTTPServer):
    """Answers each request with the next of `answers`, then 200; "hang" answers nothing before the test ends."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), WebRequest)
        self.stop, self.answers, self.location = threading.Event(), [], ""
        self.paths, self.headers, self.bodies = [], [], []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class WebRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        receiver = self.server
        receiver.paths.append(self.path)
        receiver.headers.append(self.headers)
        receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = receiver.answers.pop(0) if receiver.answers else 200
        if answer == "hang":
            receiver.stop.wait(10)
            return
        # A server may repeat what it was asked in its answer.
        self.send_response(answer, f"refused {self.path}")
        if receiver.location:
            self.send_header("Location", receiver.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.server.paths.append("GET " + self.path)
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def web():
    with serving(WebReceiver()) as receiver:
        yield receiver


@pytest.fixture
def other_web():
    with serving(WebReceiver()) as receiver:
        yield receiver


class MailReceiver(socketserver.ThreadingTCPServer):
    """Just enough of SMTP. `replies` overrides the answer to a command, such as {"RCPT TO:<a@b>": "550 no"}."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MailSession)
        self.stop, self.tls, self.offers_starttls = threading.Event(), None, False
        self.replies, self.mails, self.commands, self.logins = {}, [], [], []

    @property
    def port(self):
        return self.server_address[1]

    def get_request(self):
        connection, address = super().get_request()
        if self.tls and not self.offers_starttls:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


class MailSession(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        with contextlib.suppress(OSError):  # the client hung up
            self.talk()
        self.request.close()

    def talk(self):
        self.say(self.server.replies.get("greeting", "220 hello"))
        while line := self.rfile.readline().decode().strip():
            encrypted = isinstance(self.request, ssl.SSLSocket)
            self.server.commands.append(line)
            command = line.upper()
            reply = next((said for start, said in self.server.replies.items() if line.startswith(start)), None)
            if reply == "hang":
                self.server.stop.wait(10)
                return
            if reply:
                self.say(reply)
            elif command.startswith("EHLO"):
                self.say("250-hello")
                if self.server.offers_starttls and not encrypted:
                    self.say("250-STARTTLS")
                self.say("250 AUTH PLAIN")
            elif command == "STARTTLS":
                self.say("220 go on")
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
                self.setup()
            elif command.startswith("AUTH PLAIN"):
                _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                self.server.logins.append((user, password, encrypted))
                self.say("235 welcome")
            elif command == "DATA":
                self.say("354 go on")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self.say("250 taken")
            else:
                self.say("221 bye" if command == "QUIT" else "250 ok")


@pytest.fixture
def mail():
    with serving(MailReceiver()) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and a certificate for 127.0.0.1 that nobody but its holder trusts."""
    return write_certificate(tmp_path_factory.mktemp("certificate") / "mail.pem")


@pytest.fixture
def server_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
