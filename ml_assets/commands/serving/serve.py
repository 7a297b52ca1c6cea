"""The server's processes."""

import gc
import logging
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.commands.serving.spooled import draining_beside
from ml_assets.commands.serving.tls import Tls
from ml_assets.environment import hand_down
from ml_assets.home import Home
from ml_assets.serving.access.admission import Admission
from ml_assets.serving.access.audit import AuditTrail
from ml_assets.serving.access.digests import hashed_keys
from ml_assets.serving.access.key_file import KeyFile
from ml_assets.serving.apart.child import start_command
from ml_assets.serving.apart.process import LargeRequestProcess
from ml_assets.serving.declared import Declarations
from ml_assets.serving.grpc.transport import GrpcSettings, GrpcTransport, check_free
from ml_assets.serving.http.app import Server, make_app, now
from ml_assets.serving.http.exchange import LargeRequests
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.transport.guarded import ConnectionLimits
from ml_assets.serving.http.transport.running import run_server
from ml_assets.serving.log.drain_report import DrainWatch
from ml_assets.settings import Settings, SettingsError, read_settings
from ml_assets.training.kinds.lean import claim_process, import_for

log = logging.getLogger(__name__)


class ServeSettings(BaseModel):
    """What is served, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: list[str] = Field(description="Models whose champions answer.")
    kinds: list[str] = Field(default_factory=list, description="Kinds of these models, as they are declared.")
    declared: Declarations = Field(description="What the project declares of them.")
    replay: bool = Field(default=False, description="Whether each request says its own moment, as_of.")
    logged: bool = Field(default=True, description="Whether answers are written to <model>/request_log.")
    grpc: str = Field(default="", description="Address of gRPC, such as 127.0.0.1:8081; empty for none.")
    tls: Tls | None = Field(default=None, description="With which the server encrypts; None for plain text.")
    idle_seconds: float = Field(default=75, description="After which gRPC ends a stream or connection that is idle.")
    workers: int = Field(default=1, description="Processes that serve together.")
    log_format: str = Field(default="text", description="Lines of standard error: text or json.")


def serve_models(settings: ServeSettings, host: str, port: int, connections: ConnectionLimits) -> None:
    """Serve until interrupted; a request that is being answered is answered to its end.

    Raises:
        LookupError: a model has no champion.
        OSError: gRPC cannot listen where it is to.
        ValueError: the API keys are no digests, their file is broken or was lost, the log's format is none, or there
            is no such kind of online store.
    """
    from ml_assets.serving.http.observability.telemetry import logging_settings

    given = read_settings()
    check_key_file(given.key_file, KeyFile(given.key_file or Home.of(given).keys))
    if settings.grpc:
        check_free(settings.grpc)
    lines = logging_settings(settings.log_format)
    # A variable of the environment is too small for the declarations of many models.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "served.json"
        file.write_text(settings.model_dump_json())
        hand_down(ML_ASSETS_SERVED=str(file))
        # With several workers each makes its own; what is wrong is said once, here.
        app = make_served_app() if settings.workers == 1 else f"{__name__}:make_served_app"
        if settings.workers > 1:
            _refuse_wrong(settings)
        with draining_beside(Home.of(read_settings()), settings.log_format) if settings.logged else nullcontext():
            tls = settings.tls
            files = None if tls is None else (tls.certificate, tls.key)
            run_server(app, host, port, connections, workers=settings.workers, log_settings=lines, tls=files)


def check_key_file(named: Path | None, file: KeyFile) -> None:
    """Refuse a file of keys that is not there though it is named, or was there before: it would let everybody in.

    Args:
        file: that one, or the one in the home.
    """
    if named is not None and not named.exists():
        raise ValueError(
            f"ML_ASSETS_KEY_FILE names {named}, which is not there: make a key by `ml-assets keys new`, or unset it"
        )
    if file.lost:
        raise ValueError(
            f"keys were made, and their file {file.path} is gone, so that everybody would be let in: put it back, make "
            "keys anew by `ml-assets keys new`, or let everybody in on purpose by `ml-assets keys remove-all`"
        )
    try:
        file.remember()
    except OSError as error:
        log.warning("a later start will not know that there were keys: %s (%s)", error.strerror, file.path)


def make_served_app() -> Server | GrpcTransport:
    """Make the app of one process, which reads the environment and the file that it names.

    Raises:
        SettingsError: no file is named: ``serve_models`` names it for each process that it starts.
    """
    settings = read_settings()
    served = read_served(settings)
    # A row waits for the thread that answers a large request each time that it has looked something up: for half a
    # millisecond instead of Python's five.
    sys.setswitchinterval(0.0005)
    claim_process("ml-assets serve")
    import_for(served.kinds)
    app = _make_app(served, settings, logged=True)
    calm_collector()
    return GrpcTransport(app, app.grpc_bindings, grpc_settings(served)) if served.grpc else app


def calm_collector() -> None:
    """Let the collector leave what is there now alone, and come seldom.

    It would go through half a million objects of libraries again and again, which takes a tenth of a second in which
    nobody is answered; and through those of a request, which are in no circles, while it is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def read_served(settings: Settings) -> ServeSettings:
    """Read what a server's process is to serve; raises SettingsError where no file says it."""
    if settings.served is None:
        raise SettingsError("ML_ASSETS_SERVED names no file that says what to serve: use `ml-assets serve`")
    return ServeSettings.model_validate_json(settings.served.read_text())


def grpc_settings(served: ServeSettings) -> GrpcSettings:
    """Return how gRPC is served: with the certificate of HTTP, by each of its processes."""
    tls = served.tls
    credentials = None if tls is None else (tls.key.read_bytes(), tls.certificate.read_bytes())
    return GrpcSettings(served.grpc, shared=served.workers > 1, credentials=credentials, idle=served.idle_seconds)


def _refuse_wrong(settings: ServeSettings) -> None:
    """Make the app once, without the threads of a log, to see whether it can be made."""
    _make_app(settings, read_settings(), logged=False)


def _make_app(served: ServeSettings, settings: Settings, *, logged: bool) -> Server:
    from ml_assets.lake import Lake
    from ml_assets.online.stores.opening import open_store
    from ml_assets.registry.decisions import Decisions
    from ml_assets.registry.registry import EXPERIMENT, Registry
    from ml_assets.serving.http.observability.tracing import open_tracing
    from ml_assets.serving.log.spool import Spool

    home = Home.of(settings)
    registry = Registry(home.mlflow, home.mlflow_artifacts or None, EXPERIMENT, home.trackers)
    lake = Lake(home.lake)
    for name in served.models:
        Decisions(lake, registry, name).settle()

    def open_log(schema_of, specs) -> Spool:
        return Spool(home.spool, schema_of, specs)

    return make_app(
        registry,
        served.models,
        limits_of(served, settings),
        served.declared,
        open_store(home.online_store) if served.declared.online else None,
        open_log=open_log if served.logged and logged else None,
        admission=_admission(served, home, settings, patient=logged and served.workers > 1),
        audit=AuditTrail(home.audit),
        drained=DrainWatch(home.spool, now) if served.logged and logged else None,
        counted=_together(settings, "counts") if served.workers > 1 and logged else None,
        tracing=open_tracing(settings.open_telemetry) if logged else None,
        large=_large_requests(settings) if logged else None,
    )


def limits_of(served: ServeSettings, settings: Settings) -> Limits:
    """Return what each process of a server takes on."""
    return Limits(replay=served.replay, look_every=settings.look_seconds, large=settings.large_bytes)


def _large_requests(settings: Settings) -> LargeRequests | None:
    if not settings.large_bytes:
        return None
    command = [sys.executable, "-m", "ml_assets.commands.serving.large_requests"]
    return LargeRequestProcess(lambda: start_command(command))


def _together(settings: Settings, name: str) -> Path:
    """Return a folder of processes that serve together, beside the file that tells them what to serve."""
    assert settings.served is not None  # `make_served_app` reads it
    return settings.served.parent / name


def _admission(served: ServeSettings, home: Home, settings: Settings, *, patient: bool) -> Admission:
    digests = hashed_keys(settings.api_keys.get_secret_value())
    shared = _together(settings, "allowances") if served.workers > 1 else None
    return Admission(digests, KeyFile(settings.key_file or home.keys), shared=shared, patient=patient)
