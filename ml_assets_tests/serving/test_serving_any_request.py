"""Ten thousand requests made up from the server's own description, and against it: none may break the server."""

import os
import threading
import time
from collections import Counter
from itertools import count

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

pytestmark = pytest.mark.slow

REQUESTS = max(10_000, int(os.environ.get("ML_ASSETS_ANY_REQUESTS", "0")))
EACH = 200  # requests of one strategy in a row, before it is the next one's turn
TENSORS = 50  # of the path that takes tensors: they take three times as long to make up

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
    config = uvicorn.Config(app, port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def checks(*names):
    return CHECKS.get_by_names([*ALWAYS, *names])


def test_no_request_breaks_the_server_and_every_answer_is_as_described(address):
    refusing = {"negative_data_rejection": {"expected-statuses": [400, 404, 413, 415, 422]}}
    config = SchemathesisConfig.from_dict({"checks": refusing})
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    sent, statuses, session = count(), Counter(), requests.Session()

    def ask(operation, mode, number, most):
        # A valid tensor may still disagree with its shape, which no schema can say.
        named = ["negative_data_rejection"] if mode == GenerationMode.NEGATIVE else []
        wanted = checks(*named)

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
            next(sent)
            response = case.call_and_validate(base_url=address, session=session, checks=wanted)
            statuses[response.status_code] += 1

        any_case()

    # A path with a version is answered by the handler of the one without.
    with_body = [one for one in operations if one.method == "post" and "{version}" not in one.path]
    for operation in operations:
        if operation not in with_body:
            ask(operation, GenerationMode.POSITIVE, 0, 20)
    number = 1
    while sum(statuses.values()) < REQUESTS:
        for operation in with_body:
            for mode in GenerationMode:
                ask(operation, mode, number, TENSORS if operation.path.endswith("/infer") else EACH)
        number += 1
    assert next(sent) >= REQUESTS
    assert statuses[200] > 0.1 * REQUESTS
    assert statuses[400] > 0.1 * REQUESTS
