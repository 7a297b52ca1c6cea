"""The Open Inference Protocol over gRPC, asked by Triton's own client, beside the same questions over HTTP."""

import asyncio
import hashlib
import queue
import signal
import socket
import struct
import threading
import time
from contextlib import contextmanager
from importlib.resources import files

import grpc
import numpy as np
import polars as pl
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient import grpc as triton
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from ml_assets.commands.serving.serve import ServeSettings, grpc_settings
from ml_assets.commands.serving.tls import Tls
from ml_assets.serving.declared import Declarations
from ml_assets.serving.grpc import watching
from ml_assets.serving.grpc.transport import GrpcSettings, GrpcTransport, check_free
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.protocols.open_inference import messages
from ml_assets.serving.protocols.open_inference.message_protocol import OpenInferenceMessages
from ml_assets.training.predictions.scored import scored

NAMES = ["late", "hours", "mood"]
KINDS = {"km": "FP64", "express": "BOOL", "courier": "BYTES"}
LISTS = {"km": "fp64_contents", "express": "bool_contents", "courier": "bytes_contents"}
KEY = "k" * 40


@pytest.fixture
def serve(registry, run_server, noon):
    @contextmanager
    def serving(limits=None, **settings):
        app = make_app(registry, NAMES, limits or Limits(), clock=lambda: noon)
        transport = GrpcTransport(app, app.grpc_bindings, GrpcSettings("127.0.0.1:0", **settings))
        http = run_server(transport)
        with triton.InferenceServerClient(f"127.0.0.1:{transport.port}") as client:
            yield client, http

    return serving


@pytest.fixture
def client(serve):
    with serve() as (client, _):
        yield client


def tensors(rows, kinds=KINDS):
    """Some rows as the client's inputs, raw."""
    inputs = []
    for name, kind in kinds.items():
        values = rows[name].to_numpy()
        tensor = triton.InferInput(name, [rows.height], kind)
        inputs.append(tensor.set_data_from_numpy(values.astype(np.object_) if kind == "BYTES" else values))
    return inputs


def listed(rows, model="late", **more):
    """Some rows as a message with values in lists, which Triton's client never sends and KServe's does."""
    request = service_pb2.ModelInferRequest(model_name=model, **more)
    for name, kind in KINDS.items():
        tensor = request.inputs.add(name=name, datatype=kind, shape=[rows.height, 1])
        values = rows[name].to_list()
        getattr(tensor.contents, LISTS[name]).extend(
            [value.encode() for value in values] if kind == "BYTES" else values
        )
    return request


@pytest.mark.parametrize("name", NAMES)
def test_every_output_is_the_one_of_the_model(client, models, rows, name):
    known = rows.with_columns(pl.col("km").fill_null(float("nan")))  # as which a missing number travels
    expected = scored(rows, models[name])
    answer = client.infer(name, tensors(known), request_id="seven")
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == (name, "1", "seven")
    assert [output.name for output in response.outputs] == [
        output.name for output in client.get_model_metadata(name).outputs
    ]
    assert len(response.raw_output_contents) == len(response.outputs)
    assert not any(output.HasField("contents") for output in response.outputs)
    for output in response.outputs:
        values = answer.as_numpy(output.name)
        values = [value.decode() for value in values] if output.datatype == "BYTES" else values.tolist()
        assert values == expected[output.name].to_list()


def test_lists_are_answered_in_lists(client, models, rows):
    known = rows.drop_nulls()
    answer = client._client_stub.ModelInfer(listed(known, "mood"))
    assert not answer.raw_output_contents
    given = {output.name: output for output in answer.outputs}
    expected = scored(known, models["mood"])
    assert list(given["score"].contents.fp64_contents) == expected["score"].to_list()
    assert [text.decode() for text in given["prediction"].contents.bytes_contents] == expected["prediction"].to_list()


def test_the_answer_is_that_of_http(serve, rows):
    known = rows.drop_nulls().head(5)
    inputs = [
        {"name": name, "datatype": kind, "shape": [5], "data": known[name].to_list()} for name, kind in KINDS.items()
    ]
    with serve() as (client, http):
        over_http = requests.post(f"http://{http}/v2/models/late/infer", json={"inputs": inputs}).json()
        answer = client.infer("late", tensors(known))
    assert [output["name"] for output in over_http["outputs"]] == [each.name for each in answer.get_response().outputs]
    for output in over_http["outputs"]:
        assert answer.as_numpy(output["name"]).tolist() == output["data"]


def test_classes_and_single_outputs(client, models, rows):
    known = rows.drop_nulls()
    wanted = [triton.InferRequestedOutput("prediction", class_count=2), triton.InferRequestedOutput("score")]
    answer = client.infer("mood", tensors(known), outputs=wanted)
    columns = scored(known, models["mood"])
    best = answer.as_numpy("prediction")
    assert best.shape == (known.height, 2)
    assert [text.decode().split(":")[2] for text in best[:, 0]] == columns["prediction"].to_list()
    assert answer.as_numpy("score").tolist() == columns["score"].to_list()


def test_a_stream_goes_on_behind_a_request_that_is_refused(client, models, rows):
    known, got = rows.drop_nulls().head(3), queue.Queue()
    client.start_stream(lambda result, error: got.put((result, error)))
    client.async_stream_infer("late", tensors(known))
    client.async_stream_infer("early", tensors(known))
    client.async_stream_infer("late", tensors(known)[:1])
    client.async_stream_infer("late", tensors(known), request_id="last")
    answers = [got.get(timeout=30) for _ in range(4)]
    client.stop_stream()
    expected = scored(known, models["late"])["score"].to_list()
    assert answers[0][0].as_numpy("score").tolist() == expected
    assert "early" in str(answers[1][1])
    assert "are missing" in str(answers[2][1])
    assert answers[3][0].as_numpy("score").tolist() == expected
    assert answers[3][0].get_response().id == "last"


def test_what_clients_read_is_what_http_tells(serve):
    with serve() as (client, http):

        def told(path):
            return requests.get(f"http://{http}{path}").json()

        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mood", "1")
        assert client.get_server_metadata(as_json=True) == told("/v2")
        metadata, of_http = client.get_model_metadata("mood"), told("/v2/models/mood")
        for side in ("inputs", "outputs"):
            tensors = [(each.name, each.datatype, list(each.shape)) for each in getattr(metadata, side)]
            assert tensors == [(each["name"], each["datatype"], each["shape"]) for each in of_http[side]]
        config, of_http = client.get_model_config("mood").config, told("/v2/models/mood/config")
        assert (config.name, config.platform, config.backend) == ("mood", of_http["platform"], of_http["backend"])
        assert [model_config_pb2.DataType.Name(each.data_type) for each in config.input] == [
            each["data_type"] for each in of_http["input"]
        ]
        assert config.version_policy.latest.num_versions == 1
        index = [(each.name, each.version, each.state) for each in client.get_model_repository_index().models]
        assert index == [(name, "1", "READY") for name in NAMES]


def test_calls_are_counted_as_requests_are(serve, rows, noon):
    known = rows.drop_nulls().head(7)
    with serve() as (client, http):
        client.infer("late", tensors(known))
        with pytest.raises(InferenceServerException, match="are missing"):
            client.infer("late", tensors(known)[:1])
        (late,) = client.get_inference_statistics("late").model_stats
        every = client.get_inference_statistics().model_stats
        text = requests.get(f"http://{http}/metrics").text
    assert (late.inference_count, late.inference_stats.success.count, late.last_inference) == (7, 1, noon // 1000)
    assert [(each.name, each.inference_count) for each in every] == [("late", 7), ("hours", 0), ("mood", 0)]
    call = '"/inference.GRPCInferenceService/ModelInfer"'
    counted = [line for line in text.splitlines() if call in line and "_bucket" not in line]
    assert any('status="200"' in line and line.endswith(" 1.0") for line in counted), counted
    assert any('status="400"' in line and line.endswith(" 1.0") for line in counted), counted


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({"model": "early"}, "NOT_FOUND", "early"),
        ({"model_version": "9"}, "NOT_FOUND", "9"),
        ({"raw_input_contents": [b"\0" * 8]}, "INVALID_ARGUMENT", "has 1 entries for 3 inputs"),
        ({"raw_input_contents": [b"\0" * 8, b"\0", b"\0"]}, "INVALID_ARGUMENT", "has contents beside raw"),
    ],
)
def test_refusals_say_why(client, rows, change, code, why):
    change = {"model": "late"} | change
    with pytest.raises(grpc.RpcError, match=why) as refused:
        client._client_stub.ModelInfer(listed(rows.drop_nulls().head(1), **change))
    assert refused.value.code().name == code


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tensor: tensor.contents.fp64_contents.append(1.0), "has 2 values, shape says 1"),
        (lambda tensor: tensor.contents.int_contents.append(1), "FP64 stands in fp64_contents, not in int_contents"),
        (lambda tensor: setattr(tensor, "datatype", "FP16"), "datatype must be one of"),
        (lambda tensor: tensor.shape.append(2), r"shape must be \[rows\]"),
        (lambda tensor: setattr(tensor, "name", "express"), "a name of its own"),
    ],
)
def test_a_tensor_that_is_not_what_it_says(client, rows, spoil, why):
    request = listed(rows.drop_nulls().head(1))
    spoil(request.inputs[0])
    with pytest.raises(grpc.RpcError, match=why) as refused:
        client._client_stub.ModelInfer(request)
    assert refused.value.code().name == "INVALID_ARGUMENT"


def test_texts_and_messages_that_are_none(serve, rows):
    request = listed(rows.drop_nulls().head(1))
    request.inputs[2].contents.bytes_contents[0] = b"\xff"
    with serve() as (client, _), pytest.raises(grpc.RpcError, match=r"inputs\.courier: a text is no UTF-8"):
        client._client_stub.ModelInfer(request)
    protocol = OpenInferenceMessages(None)
    with pytest.raises(Exception, match="the body is no ModelInferRequest"):
        protocol.read(b"\xff\xff", {})


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda client: client.load_model("late"), "the champion of the registry serves"),
        (lambda client: client.unload_model("late"), "the champion of the registry serves"),
        (lambda client: client.get_trace_settings(), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (lambda client: client.get_log_settings(), "ML_ASSETS_LOG_FORMAT"),
        (lambda client: client.get_system_shared_memory_status(), "there is no shared memory here"),
        (lambda client: client.register_cuda_shared_memory("a", b"YQ==", 0, 8), "there is no shared memory here"),
    ],
)
def test_what_is_not_offered_says_so(client, ask, why):
    with pytest.raises(InferenceServerException, match=why) as refused:
        ask(client)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_keys_and_identities_are_those_of_http(serve, rows):
    known = tensors(rows.drop_nulls().head(1))
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with serve(Limits(keys=(digest,))) as (client, _):
        with pytest.raises(InferenceServerException, match="give an API key") as refused:
            client.infer("late", known)
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        with pytest.raises(InferenceServerException, match="give an API key"):
            client.get_model_metadata("late")
        assert client.is_server_ready()
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "mine"}
        assert client.infer("late", known, headers=headers).as_numpy("score").shape == (1,)
        call = client._client_stub.ModelInfer.with_call(listed(rows.drop_nulls().head(1)), metadata=[*headers.items()])[
            1
        ]
        assert dict(call.initial_metadata())["x-request-id"] == "mine"


def streamed(client, requests):
    """Ask in a stream; gives what was answered, and the code that it ended with."""
    answers = []
    try:
        for answer in client._client_stub.ModelStreamInfer(requests):
            answers.append(answer)
    except grpc.RpcError as error:
        return answers, error.code().name
    return answers, "OK"


def test_a_stream_without_a_key_or_without_requests_ends(serve, rows):
    digest, ended = hashlib.sha256(KEY.encode()).hexdigest(), threading.Event()

    def then_silence():
        yield listed(rows.drop_nulls().head(1))
        ended.wait(30)

    with serve(Limits(keys=(digest,)), calls=1, idle=0.3) as (client, _):
        assert streamed(client, then_silence()) == ([], "UNAUTHENTICATED")
    with serve(calls=1, idle=0.3) as (client, _):
        answers, code = streamed(client, then_silence())
        assert ([answer.error_message for answer in answers], code) == ([""], "DEADLINE_EXCEEDED")
        assert client.is_server_live()  # the only call is free again
    ended.set()


def test_streams_end_with_the_server(registry, run_server, noon, rows):
    app = make_app(registry, NAMES, Limits(), clock=lambda: noon)
    transport = GrpcTransport(app, app.grpc_bindings, GrpcSettings("127.0.0.1:0"))
    run_server(transport)
    ended, first = threading.Event(), listed(rows.drop_nulls().head(1))

    def then_silence():
        yield first
        ended.wait(30)

    with triton.InferenceServerClient(f"127.0.0.1:{transport.port}") as client:
        answers = client._client_stub.ModelStreamInfer(then_silence())
        assert not next(answers).error_message
        began = time.monotonic()
        run_server.end()
        with pytest.raises(grpc.RpcError, match="the server ends") as stopped:
            next(answers)
        ended.set()
    assert stopped.value.code().name == "UNAVAILABLE"
    assert time.monotonic() - began < GrpcSettings("").grace


def test_an_address_that_is_taken_is_told_before_processes_share_it():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"gRPC cannot listen on 127.0.0.1:{port} .*: give another --grpc-port"):
            check_free(f"127.0.0.1:{port}")
    check_free(f"127.0.0.1:{port}")
    check_free("[::1]:0") if socket.has_ipv6 else None


def test_a_message_that_is_too_large_is_refused(serve, rows):
    with (
        serve(most=4096) as (client, _),
        pytest.raises(InferenceServerException, match="larger than max") as refused,
    ):
        client.infer("late", tensors(pl.concat([rows.drop_nulls()] * 20)))
    assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_calls_are_encrypted_with_the_files_of_https(registry, run_server, certificate, rows, noon):
    served = ServeSettings(
        models=NAMES, declared=Declarations(), grpc="127.0.0.1:0", idle_seconds=5, workers=2,
        tls=Tls(certificate=certificate, key=certificate),
    )  # fmt: skip
    settings = grpc_settings(served)
    assert (settings.idle, settings.shared) == (5, True)
    app = make_app(registry, NAMES, Limits(), clock=lambda: noon)
    transport = GrpcTransport(app, app.grpc_bindings, settings)
    run_server(transport)
    address, known = f"127.0.0.1:{transport.port}", tensors(rows.drop_nulls().head(1))
    with triton.InferenceServerClient(address, ssl=True, root_certificates=str(certificate)) as client:
        assert client.infer("late", known).as_numpy("score").shape == (1,)
    with triton.InferenceServerClient(address) as client, pytest.raises(InferenceServerException):
        client.infer("late", known, client_timeout=10)


def test_the_health_that_kubernetes_asks(serve, monkeypatch):
    from ml_assets.serving.http.app import Server

    reason = ""
    monkeypatch.setattr(Server, "_unready", lambda self: reason)  # noqa: ARG005
    with serve() as (client, _), grpc.insecure_channel(client._channel._channel.target().decode()) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        reason = "the log of answers cannot be written"
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not client.is_server_ready()
        with pytest.raises(grpc.RpcError, match="there is no service 'other'"):
            health.Check(health_pb2.HealthCheckRequest(service="other"))
        with pytest.raises(InferenceServerException, match="there is no model or version 'late/ready'"):
            client.get_model_metadata("late/ready")


def test_health_is_watched_until_the_server_ends(serve, run_server, monkeypatch):
    from ml_assets.serving.http.app import Server

    reason = ""
    monkeypatch.setattr(Server, "_unready", lambda self: reason)  # noqa: ARG005
    monkeypatch.setattr(watching, "EVERY", 0.05)
    asked, status = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    with serve(watchers=2) as (client, _), grpc.insecure_channel(client._channel._channel.target().decode()) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        watched = watch(asked(), timeout=120)
        assert next(watched).status == status.SERVING
        reason = "the log of answers cannot be written"
        assert next(watched).status == status.NOT_SERVING
        reason = ""
        assert next(watched).status == status.SERVING
        unknown = watch(asked(service="other"), timeout=120)
        assert next(unknown).status == status.SERVICE_UNKNOWN
        with pytest.raises(grpc.RpcError, match="2 calls are watching") as refused:
            next(watch(asked(), timeout=120))
        assert refused.value.code().name == "RESOURCE_EXHAUSTED"
        run_server.end()
        assert [each.status for each in watched] == [status.NOT_SERVING]
        assert [each.status for each in unknown] == [status.NOT_SERVING]


def test_a_signal_ends_calls_before_http_has_answered_to_its_end(registry, noon):
    app = make_app(registry, NAMES, Limits(), clock=lambda: noon)
    transport, told = GrpcTransport(app, app.grpc_bindings, GrpcSettings("127.0.0.1:0")), []

    async def live():
        events, sent = asyncio.Queue(), asyncio.Queue()
        living = asyncio.create_task(transport({"type": "lifespan"}, events.get, sent.put))
        events.put_nowait({"type": "lifespan.startup"})
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{transport.port}") as channel:
                watched = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60)
                assert await watched.read() == b"\x08\x01"
                signal.raise_signal(signal.SIGTERM)
                assert [await watched.read(), await watched.read()] == [b"\x08\x02", grpc.aio.EOF]
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)
            assert (refused.value.code().name, living.done()) == ("UNAVAILABLE", False)
        finally:
            events.put_nowait({"type": "lifespan.shutdown"})
            await living

    handled = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        asyncio.run(live())
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    assert told == [signal.SIGTERM]


def frame(kind, flags, stream, content):
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def literal(name, value):
    """A header as HTTP/2 has it, with neither tables nor Huffman's code."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def test_metadata_reach_the_application_as_they_came(run_server):
    """No client of gRPC sends metadata that are no ASCII; somebody may all the same."""
    seen = threading.Event(), []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        seen[1].extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        seen[0].set()

    transport = GrpcTransport(app, [OpenInferenceMessages.grpc], GrpcSettings("127.0.0.1:0"))
    run_server(transport)
    head = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/inference.GRPCInferenceService/ServerLive"),
        (b":authority", b"here"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    ]  # fmt: skip
    given = [(b"authorization", "Bearer schlüssel".encode()), (b"authorization", b"Bearer other"), (b"x-strange", b"x")]
    with socket.create_connection(("127.0.0.1", transport.port)) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        client.sendall(frame(1, 4, 1, b"".join(literal(*each) for each in head + given)) + frame(0, 1, 1, b"\0" * 5))
        assert seen[0].wait(60)
    assert seen[1] == given[:2]


def test_two_different_keys_are_refused_as_over_http(serve, rows):
    request, digests = (
        listed(rows.drop_nulls().head(1)),
        [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, "b")],
    )
    with serve(Limits(keys=tuple(digests))) as (client, http):
        infer, bearer = client._client_stub.ModelInfer, ("authorization", f"Bearer {KEY}")
        assert infer(request, metadata=[bearer, bearer]).model_name == "late"
        for other in ("Bearer b", "Basic YTpi"):
            with pytest.raises(grpc.RpcError, match="two different Authorization headers") as refused:
                infer(request, metadata=[bearer, ("authorization", other)])
            assert refused.value.code().name == "UNAUTHENTICATED"
            with socket.create_connection(http.rsplit(":", 1)) as raw:
                raw.sendall(
                    f"GET /v2 HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {KEY}\r\n"
                    f"authorization: {other}\r\nconnection: close\r\n\r\n".encode()
                )
                answer = b"".join(iter(lambda: raw.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"two different Authorization headers" in answer


def test_messages_are_numbered_as_tritons_are():
    others = {
        **service_pb2.DESCRIPTOR.message_types_by_name,
        **{name: model_config_pb2.DESCRIPTOR.message_types_by_name[name] for name in
           ("ModelInput", "ModelOutput", "ModelConfig", "ModelVersionPolicy")},
    }  # fmt: skip

    def compare(own, other):
        for field in own.fields:
            same = other.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (same.number, same.type, same.is_repeated), (
                field.name
            )
        for nested in own.nested_types:
            compare(nested, other.nested_types_by_name[nested.name])

    for name, message in messages.message_classes().items():
        if "." not in name and not name.endswith("Entry"):
            compare(message.DESCRIPTOR, others[name])
    types = model_config_pb2.DataType.items()
    pool = messages.message_classes()["ModelInput"].DESCRIPTOR.file.pool
    for value in pool.FindEnumTypeByName("inference.DataType").values:
        assert (value.name, value.number) in types


def test_the_messages_are_made_of_the_file_that_clients_are_given(tmp_path):
    from grpc_tools import protoc

    folder = files(messages)
    made = tmp_path / "made.desc"
    assert protoc.main(["", f"-I{folder}", f"--descriptor_set_out={made}", "open_inference.proto"]) == 0
    assert made.read_bytes() == folder.joinpath("open_inference.desc").read_bytes()
