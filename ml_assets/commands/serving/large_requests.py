"""The process that answers a server's large requests: ``python -m`` this with the descriptor of its connection."""

import logging.config
import signal
import sys
from multiprocessing.connection import Connection

from ml_assets.commands.serving.serve import ServeSettings, calm_collector, limits_of, read_served
from ml_assets.home import Home
from ml_assets.serving.apart.answering import LargeAnswers, serve_connection
from ml_assets.serving.http.observability.telemetry import logging_settings
from ml_assets.serving.rollout.champions import Serving
from ml_assets.settings import Settings, read_settings
from ml_assets.training.kinds.lean import claim_process, import_for


def make_answers(served: ServeSettings, settings: Settings, serving: Serving) -> LargeAnswers:
    """Make what answers, as a server's process is made.

    Args:
        serving: the versions that the server serves.
    """
    from ml_assets.online.stores.opening import open_store
    from ml_assets.registry.registry import EXPERIMENT, Registry
    from ml_assets.serving.log.spool import Spool

    home = Home.of(settings)
    import_for(served.kinds)
    answers = LargeAnswers(
        Registry(home.mlflow, home.mlflow_artifacts or None, EXPERIMENT, home.trackers),
        serving,
        limits_of(served, settings),
        served.declared,
        open_store(home.online_store) if served.declared.online else None,
        (lambda schema_of, specs: Spool(home.spool, schema_of, specs)) if served.logged else None,
    )
    calm_collector()
    return answers


def _main(descriptor: str) -> None:
    settings = read_settings()
    served = read_served(settings)
    claim_process("large requests")
    logging.config.dictConfig(logging_settings(served.log_format))
    # The end of the connection is what ends it: the server answers what it has begun before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve_connection(Connection(int(descriptor)), lambda serving: make_answers(served, settings, serving))


if __name__ == "__main__":
    _main(*sys.argv[1:])
