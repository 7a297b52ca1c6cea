"""Ten thousand requests made up from the server's own description, and against it: none may break the server."""

import http.client
import os
import re
from collections import Counter
from itertools import cycle, product
from random import Random
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets_tests.threads import ThreadedServer

if TYPE_CHECKING:  # a second to import, for every process that only looks at which tests there are
    from schemathesis import GenerationMode
    from schemathesis.core.transport import Response

pytestmark = pytest.mark.slow

REQUESTS = max(10_000, int(os.environ.get("ML_ASSETS_ANY_REQUESTS", "0")))
EACH = 60  # requests made up of one strategy in a row, before it is the next one's turn
FEW = 15  # of paths whose requests take several times as long to make up or to answer
LONG = ("/infer", ":explain")

ALWAYS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]


@pytest.fixture
def address(registry, declared, store, noon):
    """A real server of one model on a free port of this machine."""
    app = make_app(registry, ["late"], Limits(rows=2, body=100_000), declared, store, clock=lambda: noon)
    with ThreadedServer(app, timeout_keep_alive=600) as server:
        yield server.address


REFUSING = {"negative_data_rejection": {"expected-statuses": [400, 404, 413, 415, 422]}}


def spoiled(body: bytes, random: Random) -> list[bytes]:
    """Return a body cut short, with a byte replaced, with a part left out and with a part repeated."""
    begin, end = sorted(random.randrange(len(body) + 1) for _ in range(2))
    byte = bytes([random.randrange(256)])
    return [body[:end], body[:begin] + byte + body[begin + 1 :], body[:begin] + body[end:], body[:end] + body[begin:]]


class Asked:
    """Sends what is made up, each request also to the path with a version and with its body spoiled: to make one up
    takes longer than to answer it ten times.

    Attributes:
        made_up: how often each status was answered to requests as they were made up.
        spoiled: how often to those whose body was spoiled.
    """

    def __init__(self, address: str) -> None:
        import schemathesis
        from schemathesis.config import SchemathesisConfig

        schema = schemathesis.openapi.from_url(
            f"{address}/openapi.json", config=SchemathesisConfig.from_dict({"checks": REFUSING})
        )
        self.operations = [operation.ok() for operation in schema.get_all_operations()]
        self.paths = {operation.path for operation in self.operations}
        self.made_up, self.spoiled = Counter(), Counter()
        self.address, self.session = address, requests.Session()
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)

    @property
    def count(self) -> int:
        return self.made_up.total() + self.spoiled.total()

    def ask(self, operation, mode: "GenerationMode", number: int, most: int) -> None:
        """Make up and send requests of an operation."""
        from schemathesis import GenerationMode
        from schemathesis.checks import CHECKS

        # A valid tensor may still disagree with its shape, which no schema can say.
        named = ["negative_data_rejection"] if mode == GenerationMode.NEGATIVE else []
        wanted, always, random = CHECKS.get_by_names([*ALWAYS, *named]), CHECKS.get_by_names(ALWAYS), Random(number)

        @seed(number)
        @settings(
            max_examples=most,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def any_case(case):
            answer = case.call_and_validate(base_url=self.address, session=self.session, checks=wanted)
            self.made_up[answer.status_code] += 1
            if operation.method != "post":
                return
            sent = answer.request
            body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
            versioned = re.sub("(?<=/models/late)(?=[/:])", "/versions/1", sent.path_url)
            if versioned.replace("/versions/1", "/versions/{version}") in self.paths:
                there = self.send(sent, versioned, body)
                self.made_up[there.status_code] += 1
                assert there.status_code == answer.status_code, case.as_curl_command()
            for wrong in (*spoiled(body, random), *spoiled(body, random)):
                refused = self.send(sent, sent.path_url, wrong)
                self.spoiled[refused.status_code] += 1
                case.validate_response(refused, always)

        any_case()

    def send(self, like: requests.PreparedRequest, path: str, body: bytes) -> "Response":
        """Send a body with the headers of a request, as cheaply as can be."""
        headers = {name: value for name, value in like.headers.items() if name.lower() != "content-length"}
        self.connection.request(like.method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        named = {name: answer.headers.get_all(name) for name in answer.headers}
        request = like.copy()
        request.body = body
        from schemathesis.core.transport import Response

        return Response(answer.status, named, content, request, 0.0, False)


def test_no_request_breaks_the_server_and_every_answer_is_as_described(address):
    from schemathesis import GenerationMode

    asked = Asked(address)
    # A path with a version or a label is answered by the handler of the one without.
    with_body = [one for one in asked.operations if one.method == "post" and one.body and "{" not in one.path]
    for operation in asked.operations:
        if operation not in with_body:
            asked.ask(operation, GenerationMode.POSITIVE, 0, 20)
    turns = cycle(product(with_body, GenerationMode))
    for number, (operation, mode) in enumerate(turns, 1):
        if asked.count >= REQUESTS:
            break
        asked.ask(operation, mode, number, FEW if operation.path.endswith(LONG) else EACH)
    assert asked.made_up[200] > 0.1 * asked.made_up.total()
    assert asked.made_up[400] > 0.1 * asked.made_up.total()
    assert asked.spoiled[400] > 0.5 * asked.spoiled.total()
    assert set(asked.spoiled) <= {200, 400, 413, 415, 422}
