"""``ml-assets``: live through a use case, look at it, open its UIs."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ml_assets.code_version import PROJECT_VARIABLE, current_project
from ml_assets.home import Home
from ml_assets.requirements import check_requirements

app = typer.Typer(
    help="Self-hosted ML for tabular data: from raw data to retraining, as Dagster assets. "
    "All state lies under ML_ASSETS_HOME (default .ml_assets in the project).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

REFUSALS = (ValueError, RuntimeError, LookupError, OSError)
"""What is raised with a message for people."""

OWN_FAULTS = (KeyError, IndexError, NotImplementedError, RecursionError)
"""Of these kinds too, but raised by mistakes of our own: they keep their traceback."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Port = Annotated[int, typer.Option(help="Port to listen on.")]
Models = Annotated[list[str] | None, typer.Option(help="Only this model of the use case; may be given several times.")]
Host = Annotated[str, typer.Option(help="Address to bind to.")]


@app.callback()
def choose_project(
    project: Annotated[
        Path | None,
        typer.Option(
            envvar=PROJECT_VARIABLE, help="Folder of the project; default: the one that the working directory lies in."
        ),
    ] = None,
) -> None:
    # No docstring: it would take the place of the program's own help.
    if project is not None:
        os.environ[PROJECT_VARIABLE] = str(project.resolve())


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New folder; its name becomes the package's.")],
    example: Annotated[str, typer.Option(help="Use case that ships with the platform, to begin with.")] = "",
) -> None:
    """Create a project: a folder to declare sources, features and models in, with `dg scaffold defs`."""
    from ml_assets.commands.init.project import create_project

    try:
        created = create_project(folder, example)
    except ValueError as error:
        _fail(error)
    typer.echo("\n".join(str(file) for file in created))
    if example:
        typer.echo(f"\nNext: cd {folder}; uv run ml-assets run {example} --help")
    else:
        typer.echo(f"\nNext: cd {folder}; dg scaffold defs ml_assets.Source {folder.name}/my_table --path FILE")


@app.command()
def run(
    use_case: Annotated[str, typer.Argument(help="Folder under defs/ that declares the use case.")],
    train_as_of: Annotated[
        str,
        typer.Option(help="Training cut-off, an ISO date: earlier drops are history, later ones arrive in turn."),
    ],
    since: Annotated[str, typer.Option(help="First drop to live through; default: the first declared.")] = "",
    until: Annotated[str, typer.Option(help="Last drop to live through; default: the last declared.")] = "",
    model: Models = None,
    as_json: Json = False,
) -> None:
    """Ingest history, train, then let each later drop arrive: validate, featurize, score, monitor.

    A run whose code and deliveries have not changed since it last succeeded is skipped, so running this again after
    a kill goes on where it stood.
    """
    from ml_assets.commands.lifecycle.main_job import MainJob

    home = _prepared()
    try:
        _loaded(use_case)
        MainJob(home, use_case, tuple(model or ())).live(train_as_of, since, until, as_json)
    except REFUSALS as error:
        _fail(error)


@app.command("try")
def try_out(
    model: Annotated[str, typer.Argument(help="Declared model to try.")],
    rows: Annotated[int, typer.Option(help="Labelled rows to try it on, drawn from the whole history.")] = 20_000,
    as_json: Json = False,
) -> None:
    """Go from declaration to holdout metrics in memory and name the features that predict suspiciously well alone.

    Nothing is registered or written. Tables that are not in the lake yet are read from their source.
    """
    import json

    from ml_assets.automation.projects import find_model
    from ml_assets.commands.console import open_console
    from ml_assets.commands.experiment import trial
    from ml_assets.lake import Lake

    home = _prepared()
    try:
        defs = _loaded(model=model)
        told = trial.try_model(defs, Lake(home.lake), find_model(defs, model), rows)
    except REFUSALS as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps(trial.as_json(told), indent=2))
    else:
        trial.print_trial(open_console(), told)


@app.command()
def summary(
    use_case: Annotated[str, typer.Argument(help="Folder under defs/ that declares the use case.")],
    model: Models = None,
    as_json: Json = False,
) -> None:
    """Show, per model and drop: rows, quarantined rows, strongest drift, performance, champion version."""
    from ml_assets.commands.current import read_current
    from ml_assets.commands.lifecycle.summary import show_summary

    home = _opened()
    try:
        show_summary(home, read_current(), use_case, model or (), as_json)
    except REFUSALS as error:
        _fail(error)


@app.command()
def status(as_json: Json = False) -> None:
    """Show a few lines per model: champion, last score, drift, performance, last decision, next step."""
    from datetime import UTC, datetime

    from ml_assets.automation.run_records import open_run_records
    from ml_assets.commands.current import read_current
    from ml_assets.commands.lifecycle.status import print_status, project_status
    from ml_assets.lake import Lake

    home = _opened()
    try:
        declared = read_current()
        records = open_run_records(home)
        told, wrong = project_status(declared, Lake(home.lake), _registry(home), records, datetime.now(UTC))
    except REFUSALS as error:
        _fail(error)
    print_status(told, as_json)
    if wrong:
        _fail(ValueError("\n".join(wrong)))


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="Model to roll back.")],
    to: Annotated[str, typer.Option(help="Version to serve again; default: the one that the champion replaced.")] = "",
) -> None:
    """Let an earlier champion serve again, at once. The next decision to retrain waits out its cooldown."""
    from datetime import UTC, datetime

    from ml_assets.commands.lifecycle.roll_back import roll_back

    home = _opened()
    try:
        typer.echo(roll_back(home, _registry(home), model, to or None, datetime.now(UTC)))
    except REFUSALS as error:
        _fail(error)


@app.command()
def replay(
    model: Annotated[str, typer.Argument(help="Model whose history is lived again.")],
    first: Annotated[str, typer.Option("--from", help="First drop to live through, such as 2013-04.")],
    last: Annotated[str, typer.Option("--to", help="Last drop to live through.")],
    policies: Annotated[
        str, typer.Option(help="Policies to compare: never, monthly, every-drop, evidence, or one kind of evidence.")
    ] = "never,monthly,every-drop,evidence",
    html: Annotated[Path | None, typer.Option(help="Also write a page with the timelines.")] = None,
    as_json: Json = False,
) -> None:
    """Live history again under several retraining policies, each step knowing only what was known then.

    What has been worked out is kept under the home, so a killed replay goes on where it stood.
    """
    import json

    from ml_assets.automation.projects import find_model
    from ml_assets.commands.console import open_console
    from ml_assets.commands.experiment.replay_job import run_replay
    from ml_assets.commands.experiment.replay_print import print_replay
    from ml_assets.retraining.replay.report import as_json as to_json
    from ml_assets.retraining.replay.report import render_replay

    home, console = _prepared(), open_console(to_errors=as_json)
    try:
        defs = _loaded(model=model)
        declared = find_model(defs, model)
        lived = run_replay(defs, home, declared, first, last, policies.split(","), console)
    except REFUSALS as error:
        _fail(error)
    if html is not None:
        html.write_text(render_replay(model, declared.metric, lived), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(to_json(model, declared.metric, lived), indent=2))
    else:
        print_replay(console, model, declared.metric, lived)


@app.command()
def online(
    use_case: Annotated[str, typer.Argument(help="Folder under defs/ that declares the use case.")],
    as_of: Annotated[
        str, typer.Option(help="ISO moment to build for; default: the newest that each view's table knows.")
    ] = "",
    view: Annotated[list[str] | None, typer.Option(help="Only this view; may be given several times.")] = None,
    as_json: Json = False,
) -> None:
    """Fill the online store with the features of every entity, ready for requests.

    ONLINE_STORE_URL names the store: sqlite:///path, by default in the home, or redis://host:port/number.
    """
    from ml_assets.commands.console import open_console
    from ml_assets.commands.serving.online_job import as_json as to_json
    from ml_assets.commands.serving.online_job import build_online, print_built

    _prepared()
    console = open_console(to_errors=as_json)
    try:
        built = build_online(_loaded(use_case), use_case, view or [], as_of, console)
    except REFUSALS as error:
        _fail(error)
    if as_json:
        typer.echo(to_json(built))
    else:
        print_built(console, built)


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="Model whose champion scores.")],
    source: Annotated[str, typer.Option("--input", help=".parquet, .csv, a folder of Parquet files, a Delta table.")],
    target: Annotated[str, typer.Option("--output", help="File to write, .parquet or .csv.")],
    as_json: Json = False,
) -> None:
    """Score a file of any size, a batch of rows at a time: every feature must be a column, other columns are kept."""
    import json
    import time

    from ml_assets.commands.console import open_console
    from ml_assets.lake import Lake
    from ml_assets.registry.decisions import Decisions
    from ml_assets.registry.records import CHAMPION
    from ml_assets.scoring.batch import score_file

    home, console = _opened(), open_console(to_errors=True)
    began = time.perf_counter()
    try:
        registry = _registry(home)
        Decisions(Lake(home.lake), registry, model).settle()
        champion = registry.load(model, alias=CHAMPION)
        written = score_file(champion, source, target, lambda rows: console.print(f"{rows:,} rows"))
    except REFUSALS as error:
        _fail(error)
    told = {"output": written.path, "rows": written.rows, "seconds": round(time.perf_counter() - began, 3)}
    typer.echo(json.dumps(told) if as_json else f"{written.path}: {written.rows:,} rows in {told['seconds']} s")


@app.command()
def serve(
    models: Annotated[list[str], typer.Argument(help="Models whose champions answer.", metavar="MODEL...")],
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1)] = 1,
    replay: Annotated[
        bool, typer.Option("--replay", help="Requests and facts say their own moment, as_of, instead of the clock's.")
    ] = False,
    log: Annotated[bool, typer.Option(help="Write each answer to <model>/request_log in the lake.")] = True,
    log_format: Annotated[
        str,
        typer.Option(
            envvar="ML_ASSETS_LOG_FORMAT", help="Of standard error: text shows what fails, json each request."
        ),
    ] = "text",
) -> None:
    """Answer requests with the champions: rows by key, Open Inference Protocol v2, MLflow's scoring protocol, /metrics.

    A new champion takes over without dropping a request. ML_ASSETS_API_KEYS, SHA-256 digests of keys separated by
    commas, lets in only who has one of the keys. /docs shows the routes.
    """
    from ml_assets.commands.current import read_current
    from ml_assets.commands.serving.serve import ServeSettings, serve_models
    from ml_assets.commands.serving.served import champion_inputs, declarations
    from ml_assets.lake import Lake

    home = _prepared()
    try:
        project = read_current()
        _tell(fault.message for fault in project.faults)
        declared = declarations(project, Lake(home.lake), models, champion_inputs(_registry(home), models))
        for name, reason in declared.unready.items():
            typer.echo(f"{name} takes features only, no rows: {reason}", err=True)
        settings = ServeSettings(models=models, declared=declared, replay=replay, logged=log, log_format=log_format)
        serve_models(settings, host, port, workers)
    except REFUSALS as error:
        _fail(error)


@app.command()
def served(
    model: Annotated[str, typer.Argument(help="Model whose answers are gathered.")],
    drop: Annotated[
        list[str] | None, typer.Option(help="Drop to gather; may be given several times. Default: all answered about.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Gather what was served, drop by drop, and hold it against what the features should have been."""
    from ml_assets.commands.console import open_console
    from ml_assets.commands.serving import served_job

    home, console = _prepared(), open_console(to_errors=True)
    try:
        gathered, failed = served_job.gather_served(_loaded(model=model), home, model, drop or (), console)
    except REFUSALS as error:
        _fail(error)
    typer.echo(served_job.as_json(model, gathered) if as_json else served_job.as_table(gathered))
    if failed:
        _fail(RuntimeError(failed))


@app.command()
def package(
    model: Annotated[str, typer.Argument(help="Model to hand over.")],
    form: Annotated[str, typer.Option("--format", help="bentoml, onnx or mlflow-docker.")],
    output: Annotated[Path, typer.Option(help="New directory.")],
    version: Annotated[str, typer.Option(help="Version to hand over; default: the champion.")] = "",
    as_json: Json = False,
) -> None:
    """Write a model as a directory for BentoML, ONNX Runtime or MLflow's containers.

    It is asked about the model's own holdout rows first: where it says something else, nothing is written.
    """
    import json
    from dataclasses import asdict

    from ml_assets.commands.hand_over.lookup import package_version
    from ml_assets.lake import Lake

    home = _opened()
    try:
        written = package_version(_registry(home), Lake(home.lake), model, version or None, form, output)
    except REFUSALS as error:
        _fail(error)
    told = (
        f"{written.output}: {model} {written.version}, tried on {written.rows:,} rows, {written.difference:.2g} apart"
    )
    typer.echo(json.dumps(asdict(written)) if as_json else told)


@app.command("feast-export")
def feast_export(
    use_case: Annotated[str, typer.Argument(help="Folder under defs/ that declares the feature views.")],
    output: Annotated[Path, typer.Option(help="New directory.")],
    since: Annotated[str, typer.Option(help="ISO date from which values can be asked for; default: 28 days.")] = "",
    as_of: Annotated[str, typer.Option(help="ISO date: later facts are left out; default: the newest fact.")] = "",
    as_json: Json = False,
) -> None:
    """Write a use case's feature views as a Feast repository that gives the same values, online and in history."""
    import json
    from dataclasses import asdict

    from ml_assets.commands.current import read_current
    from ml_assets.commands.hand_over.lookup import export_use_case
    from ml_assets.lake import Lake

    home = _opened()
    try:
        written = export_use_case(read_current(), Lake(home.lake), use_case, output, since, as_of)
    except REFUSALS as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps(asdict(written), default=lambda moment: moment.isoformat()))
        return
    typer.echo(f"{written.output}: {written.since.isoformat()} to {written.as_of.isoformat()}")
    for name, rows in written.rows.items():
        typer.echo(f"  {name}: {rows:,} rows")
    for name, reason in written.left_out.items():
        typer.echo(f"  {name} is left out: {reason}")


@app.command()
def ui(
    host: Host = "127.0.0.1",
    port: Port = 3000,
    use_case: Annotated[
        list[str] | None,
        typer.Option(help="Use case whose drops are looked for; may be given several times. Default: those run here."),
    ] = None,
) -> None:
    """Open Dagster's UI, with its daemon, over the same state. Drops are looked for of the use cases that were run."""
    from ml_assets.automation.begun import BEGUN
    from ml_assets.commands.ui.begun import split_by_begun

    home = _prepared()
    try:
        watched, waiting = split_by_begun(home, use_case or ())
    except REFUSALS as error:
        _fail(error)
    os.environ[BEGUN] = ",".join(watched)
    for name in waiting:
        typer.echo(
            f"{name} was not run here, so its drops are not looked for: `ml-assets ui --use-case {name}` does so, or "
            f"start the sensor {name}_drops in the UI"
        )
    workspace = str(current_project().workspace)
    _run_program("dagster", "dev", "-w", workspace, "-h", host, "-p", str(port))


@app.command()
def mlflow(
    host: Host = "127.0.0.1",
    port: Port = 5000,
    browser: Annotated[bool, typer.Option("--open", help="Also open the page in a browser.")] = False,
) -> None:
    """Open MLflow's UI over the same state, and say where the trainings are shown.

    Where ML_ASSETS_MLFLOW names a server, that one shows them: none is started.
    """
    from ml_assets.commands.ui.mlflow_page import open_when_there, training_page

    home = _prepared()
    away = home.mlflow.startswith("http")
    try:
        page = training_page(_registry(home), home.mlflow if away else f"http://{host}:{port}")
    except REFUSALS as error:
        _fail(error)
    typer.echo(f"Trainings: {page}")
    if browser:
        open_when_there(page)
    if not away:
        _run_program(
            "mlflow", "server", "--backend-store-uri", home.mlflow, "--artifacts-destination", home.mlflow_artifacts,
            "--host", host, "--port", str(port), "--workers", "1",
        )  # fmt: skip


def _loaded(use_case: str = "", model: str = ""):
    """The project's definitions; what is wrong in other use cases than the one that is wanted is told."""
    from ml_assets.automation.projects import declared_models
    from ml_assets.declarations.problems import DeclarationError
    from ml_assets.project import load_current

    definitions = load_current()
    left_out = definitions.component_tree.left_out
    if use_case in left_out:
        raise DeclarationError(left_out[use_case])
    if left_out and model and model not in declared_models(definitions):
        raise DeclarationError("\n".join(left_out.values()))
    _tell(left_out.values())
    return definitions


def _registry(home: Home):
    from ml_assets.registry.registry import EXPERIMENT, Registry

    return Registry(home.mlflow, home.mlflow_artifacts or None, EXPERIMENT)


def _prepared() -> Home:
    """The home, made if need be."""
    home = _opened()
    home.prepare()
    return home


def _opened() -> Home:
    """The home as it is, for what only reads: nothing is made."""
    try:
        check_requirements()
        os.environ["ML_ASSETS_HOME"] = os.environ.get("ML_ASSETS_HOME") or str(current_project().folder / ".ml_assets")
        home = Home.from_environment()
    except REFUSALS as error:
        _fail(error)
    home.enter()
    return home


def _run_program(program: str, *arguments: str) -> None:
    """Run a program of this environment; it and all that it starts end with this process."""
    from ml_assets.commands.ui.together import run_together

    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        _fail(RuntimeError(f"{program} is not installed beside {sys.executable}: run `make install`"))
    sys.stdout.flush()
    raise typer.Exit(run_together([found, *arguments]))


def _fail(error: Exception) -> None:
    if isinstance(error, OWN_FAULTS):
        raise error
    _tell([str(error)])
    raise typer.Exit(1)


def _tell(messages: Iterable[str]) -> None:
    for line in (line for message in messages for line in message.splitlines()):
        typer.secho(f"error: {line}", fg=typer.colors.RED, err=True)
