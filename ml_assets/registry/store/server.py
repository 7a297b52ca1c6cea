"""MLflow's server or database, which may be away: noticed within seconds, and reported in one line."""

import socket
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from ml_assets.addresses import without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_SECONDS = 4.0
"""How long a server may take to answer that it is there."""

SURE_SECONDS = 5.0
"""How long a server that was there, or was not, is taken to be so still."""


_PORTS = {"postgresql": 5432, "mysql": 3306}
"""Where databases listen whose address names no port."""


class RegistryAway(ConnectionError):
    """MLflow's server or database does not answer."""


def require_database(uri: str) -> None:
    """Look whether somebody listens at a database's address, before MLflow tries ten times over, for a minute and more.

    Args:
        uri: SQLAlchemy URL; one without a host, such as of a socket, is not looked at.

    Raises:
        RegistryAway: nobody does.
    """
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    port = url.port or _PORTS.get(url.get_backend_name())
    if not url.host or port is None:
        return
    try:
        socket.create_connection((url.host, port), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise RegistryAway(
            f"MLflow's database at {url.host}:{port} does not answer ({error.strerror or error}): start it, or see "
            "ML_ASSETS_MLFLOW"
        ) from error


class AnsweringClient:
    """MLflow's client for a server that is looked for before each request.

    Left to itself the client tries seven times over, for four minutes, and ends with a traceback.
    """

    def __init__(self, client: "MlflowClient", uri: str) -> None:
        self._client = client
        self._uri = uri
        self._looked: float | None = None
        self._away = ""

    def __getattr__(self, name: str) -> Any:
        return self._answered(getattr(self._client, name))

    def _answered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def request(*arguments: Any, **named: Any) -> Any:
            from mlflow.exceptions import MlflowException
            from requests.exceptions import RequestException

            self._look()
            try:
                answer = call(*arguments, **named)
            except (MlflowException, RequestException) as error:
                lost = error if isinstance(error, RequestException) else error.__cause__ or error.__context__
                if not isinstance(lost, RequestException):
                    raise
                self._note(type(lost).__name__)
                raise self._gone() from error
            self._note("")
            return answer

        return request

    def _look(self) -> None:
        """Raise RegistryAway unless the server answers; any answer counts."""
        import requests

        if self._looked is None or time.monotonic() - self._looked > SURE_SECONDS:
            try:
                requests.get(f"{self._uri.rstrip('/')}/health", timeout=ANSWER_SECONDS)
                self._note("")
            except requests.exceptions.SSLError:  # it is there; only MLflow's client knows whom to trust
                self._note("")
            except requests.exceptions.RequestException as error:
                self._note(type(error).__name__)
        if self._away:
            raise self._gone()

    def _note(self, away: str) -> None:
        self._looked, self._away = time.monotonic(), away

    def _gone(self) -> RegistryAway:
        return RegistryAway(
            f"MLflow at {without_secrets(self._uri)} does not answer ({self._away}): start it, or see ML_ASSETS_MLFLOW"
        )
