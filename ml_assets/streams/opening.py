"""The stream at an address; each kind of stream is an extension, chosen by the scheme of the URL."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from ml_assets.addresses import is_readable, without_secrets
from ml_assets.extensions import Extensions
from ml_assets.streams.protocol import Stream
from ml_assets.streams.routing import ROUTING

_DOORS = "ml_assets.streams.doors"


@dataclass(frozen=True)
class StreamAddress:
    """The URL of a stream, `scheme://server/path?option=value`, taken apart.

    Attributes:
        server: `user:password@host:port`, maybe several separated by commas, or empty.
        path: without its first slash.
        options: those of the kind of stream.
        routing: those that say which table a message is for, see `Routes`.
        name: identifies the stream in the store.
    """

    scheme: str
    server: str
    path: str
    name: str
    options: dict[str, str] = field(default_factory=dict)
    routing: dict[str, str] = field(default_factory=dict)

    def take(self, **defaults: str) -> dict[str, str]:
        """Return the options of the kind of stream, with defaults for those that are not given.

        Raises:
            ValueError: another one is given.
        """
        if unknown := sorted(set(self.options) - set(defaults)):
            known = ", ".join(["name", *ROUTING, *defaults])
            raise ValueError(
                f"stream {self.name}: {', '.join(unknown)} is no option of {self.scheme}://; there are {known}"
            )
        return defaults | self.options


OpenStream = Callable[[StreamAddress], Stream]
"""Makes the stream at an address; raises ValueError where it does not fit or what it needs is not installed."""

STREAMS: Extensions[OpenStream] = Extensions(
    "ml_assets.streams",
    "stream",
    {
        "file": f"{_DOORS}.folder:FolderStream",
        "nats": f"{_DOORS}.nats:NatsStream",
        "redis": f"{_DOORS}.redis:RedisStream",
        "rediss": f"{_DOORS}.redis:RedisStream",
        "kafka": f"{_DOORS}.kafka:KafkaStream",
        "kafka+ssl": f"{_DOORS}.kafka:KafkaStream",
    },
)
"""What opens a stream, by the scheme of its URL."""

_FORMS = "file:///folder, nats://host:port/STREAM, redis://host:port/number/key, kafka://host:port/topic, kafka+ssl://user@host:port/topic"


def read_address(url: str) -> StreamAddress:
    """Take the URL of a stream apart.

    Raises:
        ValueError: it is none, or an option is there twice.
    """
    parts = urlsplit(url)
    if parts.scheme not in STREAMS.names() or "://" not in url or not parts.path.strip("/"):
        raise ValueError(
            f"stream {without_secrets(url)!r}: write one of {_FORMS}; known are {', '.join(STREAMS.names())}"
        )
    if not is_readable(url) or parts.fragment:
        raise ValueError(
            f"stream {parts.scheme}://...: cannot be read: write what else than letters and digits is in user, "
            "password and path as %-codes"
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    if len(options) != len(given):
        raise ValueError(f"stream {without_secrets(url)!r}: an option is given twice")
    path = unquote(parts.path)
    name = options.pop("name", "") or without_secrets(f"{parts.scheme}://{parts.netloc}") + path
    routing = {option: options.pop(option) for option in ROUTING if option in options}
    return StreamAddress(parts.scheme, parts.netloc, path.removeprefix("/"), name, options, routing)


def open_stream(address: StreamAddress) -> Stream:
    """Make the stream at an address.

    Raises:
        ValueError: the address does not fit, or what this kind of stream needs is not installed.
    """
    return STREAMS.get(address.scheme)(address)
