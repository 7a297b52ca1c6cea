"""``serve``, ``push``, ``stream``, ``spool``, ``served``, ``online`` and ``score``."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ml_assets.commands.exits import print_errors
from ml_assets.commands.options import Host, Json, Port, UseCase
from ml_assets.commands.session import session_of


def online(
    context: typer.Context,
    use_case: UseCase,
    as_of: Annotated[
        str, typer.Option(help="ISO moment to build for; default: the newest that each view's table knows.")
    ] = "",
    view: Annotated[list[str] | None, typer.Option(help="Only this view; may be given several times.")] = None,
    facts_until: Annotated[
        str,
        typer.Option(
            help="ISO moment: also push what tables hold of the time from the build until then, to replay it."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Fill the online store with the features of every entity, ready for requests.

    ONLINE_STORE_URL names the store: sqlite:///path, by default in the home, postgresql:// or redis://.
    """
    from ml_assets.commands.serving.online_job import as_json as to_json
    from ml_assets.commands.serving.online_job import (
        build_online,
        print_built,
        push_what_followed_builds,
        pushed_line,
        read_moment,
    )
    from ml_assets.commands.terminal import open_terminal

    session = session_of(context)
    home = session.prepare_home()
    console, until = open_terminal(to_errors=as_json), read_moment(facts_until)
    built = build_online(session.load_definitions(use_case), use_case, view or [], as_of, console)
    pushed = None
    if until is not None:
        pushed = push_what_followed_builds(session.read_declarations(), home, [each.view for each in built], until)
    if as_json:
        typer.echo(to_json(built, pushed))
    else:
        print_built(console, built)
        if pushed is not None and until is not None:
            console.print(pushed_line(pushed, until))


def score(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model whose champion scores.")],
    source: Annotated[str, typer.Option("--input", help=".parquet, .csv, a folder of Parquet files, a Delta table.")],
    target: Annotated[str, typer.Option("--output", help="File to write, .parquet or .csv.")],
    as_json: Json = False,
) -> None:
    """Score a file of any size, a batch of rows at a time: every feature must be a column, other columns are kept."""
    import json
    import time

    from ml_assets.commands.terminal import open_terminal
    from ml_assets.lake import Lake
    from ml_assets.registry.decisions import Decisions
    from ml_assets.registry.records import CHAMPION
    from ml_assets.scoring.batch import score_file

    session = session_of(context)
    home, console = session.open_home(), open_terminal(to_errors=True)
    began = time.perf_counter()
    registry = session.open_registry(home)
    Decisions(Lake(home.lake), registry, model).settle()
    champion = registry.load(model, alias=CHAMPION)
    written = score_file(champion, source, target, lambda rows: console.print(f"{rows:,} rows"))
    outcome = {"output": written.path, "rows": written.rows, "seconds": round(time.perf_counter() - began, 3)}
    typer.echo(json.dumps(outcome) if as_json else f"{written.path}: {written.rows:,} rows in {outcome['seconds']} s")


def serve(
    context: typer.Context,
    models: Annotated[list[str], typer.Argument(help="Models whose champions answer.", metavar="MODEL...")],
    host: Host = "127.0.0.1",
    port: Port = 8080,
    grpc_port: Annotated[
        int, typer.Option(help="Port of the Open Inference Protocol over gRPC; 0 for none.", min=0, max=65535)
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1)] = 1,
    replay: Annotated[
        bool, typer.Option("--replay", help="Requests and facts say their own moment, as_of, instead of the clock's.")
    ] = False,
    log: Annotated[bool, typer.Option(help="Spool each answer for <model>/request_log in the lake.")] = True,
    log_format: Annotated[
        str,
        typer.Option(
            help="Of standard error: text shows what fails, json each request; default: ML_ASSETS_LOG_FORMAT, or text."
        ),
    ] = "",
    connections: Annotated[
        int,
        typer.Option(help="Connections open at once in a process; one more takes the place of an idle one.", min=1),
    ] = 1000,
    idle_seconds: Annotated[
        float, typer.Option(help="Seconds without a request after which a connection is closed.", min=0.1)
    ] = 75,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate and its chain: https instead of http.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key, without a password.")] = None,
) -> None:
    """Answer requests with the champions: rows by key, Open Inference Protocol v2, MLflow's scoring protocol, /metrics.

    A new champion takes over without dropping a request. Once there is a key of `ml-assets keys new`, or
    ML_ASSETS_API_KEYS names SHA-256 digests of keys, only who has one of them is let in. /docs shows the routes.
    """
    from ml_assets.commands.serving.serve import ServeSettings, serve_models
    from ml_assets.commands.serving.served import champion_inputs, declarations, with_fallbacks
    from ml_assets.commands.serving.tls import given_tls
    from ml_assets.environment import MLFLOW_SERVING, set_defaults
    from ml_assets.lake import Lake
    from ml_assets.serving.http.transport.guarded import ConnectionLimits

    set_defaults(MLFLOW_SERVING)
    session = session_of(context)
    home = session.prepare_home()
    project = session.read_declarations()
    print_errors(fault.message for fault in project.faults)
    models = with_fallbacks(project, models)
    trained = champion_inputs(session.open_registry(home), models)
    declared = declarations(project, Lake(home.lake), models, trained)
    for name, reason in declared.unready.items():
        typer.echo(f"{name} takes features only, no rows: {reason}", err=True)
    lines = log_format or session.settings.log_format
    if grpc_port and grpc_port == port:
        raise typer.BadParameter(f"--port and --grpc-port are both {port}: give each its own")
    kinds = sorted({project.models[name].kind for name in models if name in project.models})
    settings = ServeSettings(
        models=models, kinds=kinds, declared=declared, replay=replay, logged=log, log_format=lines,
        grpc=(f"[{host}]" if ":" in host else host) + f":{grpc_port}" if grpc_port else "",
        tls=given_tls(tls_certificate, tls_key), workers=workers, idle_seconds=idle_seconds,
    )  # fmt: skip
    serve_models(settings, host, port, ConnectionLimits(connections, idle_seconds=idle_seconds))


def push(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="Table that the rows are of, such as orders/validated.")],
    source: Annotated[str, typer.Argument(help=".csv, .ndjson or .parquet; - for standard input.", metavar="FILE|-")],
    url: Annotated[
        str, typer.Option(help="Server to push to, such as http://127.0.0.1:8080; default: into the online store.")
    ] = "",
    key_file: Annotated[Path | None, typer.Option(help="File with the server's API key.")] = None,
    retract: Annotated[
        bool, typer.Option("--retract", help="Take the rows back; one wrong row refuses a batch.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="csv, ndjson or parquet; default: by the file's ending, ndjson for -.")
    ] = "",
    batch: Annotated[int, typer.Option(help="Rows of a batch: each is one transaction.", min=1, max=10_000)] = 1000,
    name: Annotated[str, typer.Option(help="Of this push. The same rows under one name count once within a day.")] = "",
    as_json: Json = False,
) -> None:
    """Push the rows of a file to every view of a table, under its contract: they are in the next prediction.

    What breaks the contract goes to the table's quarantine, is counted and shown. Each batch has an idempotency key, so
    that the same command may be run again after it failed.
    """
    from contextlib import nullcontext

    from ml_assets.commands.serving.push_job import (
        into_store,
        open_source,
        push_batches,
        read_api_key,
        table_of,
        to_server,
    )
    from ml_assets.online.facts.files import format_of, read_batches

    session = session_of(context)
    home = session.prepare_home()
    declared = table_of(session.read_declarations(), home, table)
    kinds = {column.name: column.kind for column in declared.fields}
    form = form or ("ndjson" if source == "-" else format_of(source))
    sending = nullcontext(to_server(url, table, read_api_key(key_file))) if url else into_store(home, declared)
    with open_source(source) as file, sending as send:
        batches = read_batches(file, form, batch, kinds)
        done = push_batches(batches, table, send, name=name, retract=retract, say=partial(typer.echo, err=True))
    typer.echo(done.as_json() if as_json else "\n".join(done.lines()))


def stream(
    context: typer.Context,
    use_case: UseCase,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="file:///folder, nats://host:port/STREAM, redis://host:port/number/key or kafka://host:port/topic; "
            "with ?table=, ?field= or ?map=name:table where messages are not named as their table.",
        ),
    ],
    once: Annotated[
        bool, typer.Option("--once", help="End where the stream does, instead of waiting for more.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Most messages that are pushed at once.", min=1)] = 500,
    linger: Annotated[
        float, typer.Option(help="How long a batch that is not full waits for more, seconds.", min=0)
    ] = 0.05,
    metrics_port: Annotated[
        int | None, typer.Option(help="Answer /metrics at this port of 127.0.0.1; 0 for any free one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Push the facts of a stream to the online store, by table and under its contract, each exactly once.

    How far it has come is kept in the store beside the facts, so it may be killed and started again. What breaks the
    contract is in the table's quarantine; while the store or the stream is away, it waits and tries again.
    """
    from ml_assets.commands.serving.stream_job import StreamJob, stream_facts, tables_of
    from ml_assets.lake import Lake
    from ml_assets.streams.metrics import StreamMetrics
    from ml_assets.streams.opening import read_address
    from ml_assets.streams.running import Batches

    session = session_of(context)
    address = read_address(source)
    home = session.prepare_home()
    tables = tables_of(session.read_declarations(), use_case, Lake(home.lake))
    metrics, say = StreamMetrics(), partial(typer.echo, err=True)
    if metrics_port is not None:
        say(f"metrics: http://127.0.0.1:{metrics.serve(metrics_port)}/metrics")
    job = StreamJob(home, use_case, address, tables, Batches(batch, linger), once)
    state = stream_facts(job, say, metrics)
    typer.echo(state.model_dump_json() if as_json else state.summary())


def spool(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Write the answers that servers have spooled to <model>/request_log in the lake, each once.

    `ml-assets serve` does it by itself, in a process beside it; this is for what a server that was killed has left.
    """
    import json
    from dataclasses import asdict

    from ml_assets.commands.serving.spooled import drain_spool

    home = session_of(context).prepare_home()
    drained = drain_spool(home.spool, home.lake, follow=follow)
    if drained is None:
        raise RuntimeError(f"another process writes {home.spool} to the lake already, such as that of a server")
    told = asdict(drained)
    del told["more"]
    counts = f"{drained.rows:,} answers are in the lake now, {drained.far:,} of them about moments far away"
    typer.echo(json.dumps(told) if as_json else f"{counts}; {drained.refused:,} fit no table and are set apart")
    if drained.failed:
        raise RuntimeError(f"the answers of {', '.join(drained.failed)} wait in {home.spool}: see above")


def served(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model whose answers are gathered.")],
    drop: Annotated[
        list[str] | None, typer.Option(help="Drop to gather; may be given several times. Default: all answered about.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Gather what was served, drop by drop, and hold it against what the features should have been."""
    from ml_assets.commands.serving import served_job
    from ml_assets.commands.terminal import open_terminal

    session = session_of(context)
    home, console = session.prepare_home(), open_terminal(to_errors=True)
    definitions = session.load_definitions(model=model)
    gathered, failed = served_job.gather_served(definitions, home, model, drop or (), console)
    typer.echo(served_job.as_json(model, gathered) if as_json else served_job.as_table(gathered))
    if failed:
        raise RuntimeError(failed)
