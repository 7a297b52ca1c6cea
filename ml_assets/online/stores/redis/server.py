"""The server, or the shard of a cluster, that holds a store: found, looked at once, and reached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ml_assets.addresses import is_readable, without_secrets
from ml_assets.online.stores.errors import OutcomeUnknown, StoreUnavailable

PREFIX = "ml_assets:online:"
"""What the keys of a store begin with."""

CLUSTER_PREFIX = "{ml_assets:online}:"
"""What they begin with in a cluster: what is in braces is hashed, so that all keys lie on one shard. A push changes
many views at once, and a request reads many of one moment: neither can be done over several."""

_CLUSTER = "-cluster"
_COMMIT_ATTEMPTS = 1000
_EVICTION, _ALLOWED = "eviction", "allowed"


class RedisServer:
    """What is at an address.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`; for a cluster `redis-cluster://` or `rediss-cluster://`, with
            some of its nodes as hosts, separated by commas. With `?eviction=allowed` it may throw keys away.

    Attributes:
        url: without secrets.
        evicts: whether it may throw keys away.
        written_meanwhile: what `change` of `committed` raises to be run again.

    Raises:
        ValueError: the package `redis` is not installed, the address does not fit, or the server throws keys away.
    """

    def __init__(self, url: str) -> None:
        self.url = without_secrets(url)
        if not is_readable(url) or "#" in url:
            # Nor is what the client would say of it shown: a part of the password may be in it.
            raise ValueError(
                f"online store {url.partition(':')[0]}://...: cannot be read: write "
                "redis://user:password@host:port/number, with what else than letters and digits is in the password as "
                "%-codes"
            )
        try:
            import redis
            import redis.cluster
            import redis.exceptions
        except ImportError:
            raise ValueError(f"online store {self.url}: needs the package redis: install ml_assets[redis]") from None
        address, self.evicts = _without_eviction(url)
        self._clustered = urlsplit(url).scheme.endswith(_CLUSTER)
        self._addresses = _nodes(address) if self._clustered else [address]
        self._prefix = CLUSTER_PREFIX if self._clustered else PREFIX
        # Untyped: what it gives depends on options, and is bytes here.
        self._redis: Any = redis
        self._no_shard = redis.exceptions.RedisClusterException
        self._errors = (redis.RedisError, self._no_shard)
        self.written_meanwhile: type[Exception] = redis.WatchError
        self._watch_error, self._moved = redis.WatchError, redis.exceptions.MovedError
        self._lost = (redis.ConnectionError, redis.TimeoutError)
        self._looked = False
        self._client: Any = None
        try:
            self._look()
        except (*self._lost, self._no_shard):
            pass  # it is looked at when it can be reached

    def key(self, *parts: object) -> str:
        """Return the key of something in the store."""
        return self._prefix + ":".join(map(str, parts))

    @property
    def client(self) -> Any:
        """The client of the server, or of the shard that holds the store."""
        if self._client is None:
            self._client = self._shard() if self._clustered else self._redis.Redis.from_url(*self._addresses)
        return self._client

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Raise StoreUnavailable for what the server answers that is no answer."""
        if not self._looked:
            self.refuse_eviction()
        try:
            yield
        except self._errors as error:
            self._forget()
            raise StoreUnavailable(f"online store {self.url}: {error}") from error

    def answer(self, ask: Callable[[], Any]) -> Any:
        """Return what `ask` gives, which is called again where the shard was another one: then nothing was done."""
        with self.reached():
            try:
                return ask()
            except self._moved:
                self._forget()
                return ask()

    def committed(self, what: str, change: Callable[[Any], Any]) -> Any:
        """Run `change`, which reads and writes, again and again until nobody else wrote in between.

        Raises:
            OutcomeUnknown: the connection was lost while it was written, or before.
        """
        # No back-off, as somebody's write was done each time: a retry library would add to every push for nothing.
        for _ in range(_COMMIT_ATTEMPTS):
            with self.reached(), self.client.pipeline() as pipe:
                try:
                    return change(pipe)
                except self._moved:
                    self._forget()
                except self._watch_error as error:
                    # The client says the same of a connection that was lost, also after all was written: to write
                    # again would count twice.
                    if isinstance(error.__context__, self._lost):
                        self._forget()
                        raise OutcomeUnknown(
                            f"online store {self.url}: {error.__context__}: {what} may be there or not"
                        ) from error
        raise StoreUnavailable(f"online store {self.url}: {what} was written by others {_COMMIT_ATTEMPTS} times")

    def refuse_eviction(self) -> None:
        """Look whether the server throws keys away, as another one may have been started; raises StoreUnavailable."""
        try:
            self._look()
        except self._errors as error:
            self._forget()
            raise StoreUnavailable(f"online store {self.url}: {error}") from error
        except ValueError as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Release the connections."""
        if self._client is not None:
            self._client.close()

    def _look(self) -> None:
        try:
            told = self.client.info()
        except self._redis.ResponseError as error:
            told = {"maxmemory_policy": f"not told ({error})"}
        if told.get("cluster_enabled") and not self._clustered:
            raise ValueError(
                f"online store {self.url}: is a node of a Redis Cluster: write redis-cluster://host:port,host:port "
                "with some of its nodes"
            )
        policy = told.get("maxmemory_policy", "not told")
        if policy != "noeviction" and not self.evicts:
            raise ValueError(
                f"online store {self.url}: its eviction policy is {policy}: keys of the store would be thrown away "
                "when memory is short. Set maxmemory-policy to noeviction; or, where facts may be lost, write "
                f"?{_EVICTION}={_ALLOWED} behind the address: entities that are gone are then missing, and take no "
                "facts until their views are built again"
            )
        self._looked = True

    def _shard(self) -> Any:
        error: Exception | None = None
        for address in self._addresses:
            try:
                nodes = self._redis.cluster.RedisCluster.from_url(address)
            except self._no_shard as unreachable:
                error = unreachable
            else:
                return nodes.get_redis_connection(nodes.get_node_from_key(self._prefix))
        raise error or self._no_shard("no node is named")

    def _forget(self) -> None:
        """Look for the shard anew: another node may have taken its place."""
        if self._clustered:
            self._client = None


def _without_eviction(url: str) -> tuple[str, bool]:
    """Return the address as the client takes it, and whether keys may be thrown away."""
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    told = [value for name, value in options if name == _EVICTION]
    if any(value != _ALLOWED for value in told):
        raise ValueError(
            f"online store {without_secrets(url)}: {_EVICTION}={told[-1]} is not known: "
            f"write {_EVICTION}={_ALLOWED}, or nothing"
        )
    rest = urlencode([each for each in options if each[0] != _EVICTION])
    return parts._replace(query=rest).geturl(), bool(told)


def _nodes(url: str) -> list[str]:
    """Return an address for each node that the address of a cluster names."""
    parts = urlsplit(url)
    if parts.path not in ("", "/", "/0"):
        raise ValueError(
            f"online store {without_secrets(url)}: a cluster has no databases by number: leave out {parts.path}"
        )
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(_CLUSTER)
    return [parts._replace(scheme=scheme, netloc=user + at + host, path="").geturl() for host in hosts.split(",")]
