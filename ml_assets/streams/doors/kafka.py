"""Kafka's protocol."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ml_assets.streams.doors.missing import require_library
from ml_assets.streams.opening import StreamAddress
from ml_assets.streams.protocol import Message, Offset, Position, Stream, StreamError, StreamUnavailable

_ANSWER = 10.0
"""Seconds that a broker has to answer."""

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""How a user may log in."""


class KafkaStream(Stream):
    """All partitions of a topic: `kafka://host:port,host:port/topic?group=ml-assets`.

    A part is a partition, and a message is named as its topic. It is read from the position that the online store has;
    the offsets committed for the group show how far that is. `?config=` names a file of librdkafka's properties,
    `name=value` a line.

    With `kafka+ssl://` it is read by TLS, of servers that `?ca_file=` or else the system trusts. A user before the host
    logs in by SASL, `?sasl=PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, with the password in the file that
    `?password_file=` names. PLAIN sends the password itself, so only by TLS.
    """

    def __init__(self, address: StreamAddress) -> None:
        self._library: Any = require_library("confluent_kafka", "kafka")
        options = address.take(group="ml-assets", config="", sasl="PLAIN", password_file="", ca_file="")
        self._topic, self._name = address.path, address.name
        given = _properties(Path(options["config"])) if options["config"] else {}
        self._heard = ""
        user, _, hosts = address.server.rpartition("@")
        self._consumer: Any = self._open(
            given
            | _security(address, user, options)
            | {
                "bootstrap.servers": hosts,
                "group.id": options["group"],
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "log_level": 0,
                "error_cb": self._hear,
            }
        )
        self._given: dict[str, Offset] | None = None
        self._ends: dict[str, int] = {}

    def _open(self, properties: dict[str, Any]) -> Any:
        try:
            return self._library.Consumer(properties)
        except self._library.KafkaException as error:
            raise ValueError(f"stream {self._name}: {error.args[0].str()}") from None

    def check(self, position: Position) -> Sequence[str]:
        self._given = None
        return [sentence for part in self._partitions() for sentence in self._check(part, position)]

    def read(self, position: Position, limit: int, wait: float) -> Sequence[Message]:
        if self._given is None or self._given != dict(position):
            self._assign(position)
        until = time.monotonic() + wait
        messages: list[Message] = []
        while not messages:
            left = until - time.monotonic()
            for each in self._consume(limit, max(left, 0.0)):
                messages += self._message(each)
            if left <= 0:
                break
        if self._given is not None:
            self._given |= {message.part: message.offset for message in messages}
        return messages

    def acknowledge(self, position: Position) -> None:
        offsets = [
            self._library.TopicPartition(self._topic, int(part), offset + 1) for part, (offset,) in position.items()
        ]
        if offsets:
            self._try(lambda: self._consumer.commit(offsets=offsets, asynchronous=False))

    def waiting(self, position: Position) -> int | None:
        parts = self._partitions()
        if self._given is None or set(parts) - {each.partition for each in self._consumer.assignment()}:
            self._assign(position)
        waiting = [self._waiting(part, position.get(str(part))) for part in parts]
        return None if None in waiting else sum(each for each in waiting if each is not None)

    def close(self) -> None:
        self._consumer.close()

    def _waiting(self, part: int, read: Offset | None) -> int | None:
        low, high = self._watermarks(part, cached=True)
        if high < 0:
            return None
        following = low if read is None else max(low, read[0] + 1)
        if self._given is not None and self._given.get(str(part)) == read:
            # The last offsets of a partition may be none of a message, such as marks of transactions.
            following = max(following, self._ends.get(str(part), 0))
        return high - following

    def _check(self, part: int, position: Position) -> list[str]:
        if str(part) not in position:
            return []
        (read,) = position[str(part)]
        low, _ = self._watermarks(part, cached=False)
        if low <= read + 1:
            return []
        return [f"{self._topic}/{part}: {low - read - 1:,} messages after {read:,} are gone, and were not read"]

    def _partitions(self) -> list[int]:
        topic = self._try(lambda: self._consumer.list_topics(self._topic, _ANSWER)).topics[self._topic]
        if topic.error is not None or not topic.partitions:
            raise StreamUnavailable(f"topic {self._topic}: {topic.error or 'it has no partitions'}")
        return sorted(topic.partitions)

    def _watermarks(self, part: int, *, cached: bool) -> tuple[int, int]:
        partition = self._library.TopicPartition(self._topic, part)
        low, high = self._try(lambda: self._consumer.get_watermark_offsets(partition, _ANSWER, cached=cached))
        return max(low, 0), high

    def _assign(self, position: Position) -> None:
        begin = self._library.OFFSET_BEGINNING
        assigned = []
        for part in self._partitions():
            offset = begin
            if str(part) in position:
                # What is gone before the first that is kept has been told by `check`.
                offset = max(position[str(part)][0] + 1, self._watermarks(part, cached=False)[0])
            assigned.append(self._library.TopicPartition(self._topic, part, offset))
        self._try(lambda: self._consumer.assign(assigned))
        self._given, self._ends = dict(position), {}

    def _consume(self, limit: int, wait: float) -> list[Any]:
        first = self._try(lambda: self._consumer.poll(wait))
        if first is None or limit == 1:
            return [] if first is None else [first]
        return [first, *self._try(lambda: self._consumer.consume(limit - 1, 0))]

    def _message(self, each: Any) -> list[Message]:
        error = each.error()
        if error is None:
            kind, sent_at = each.timestamp()
            known = kind != self._library.TIMESTAMP_NOT_AVAILABLE
            body = each.value() or b""
            return [
                Message(str(each.partition()), (each.offset(),), each.topic(), body, sent_at * 1000 if known else None)
            ]
        code = error.code()
        if code == self._library.KafkaError._PARTITION_EOF:
            self._ends[str(each.partition())] = each.offset()
            return []
        self._given = None
        if code == self._library.KafkaError._AUTO_OFFSET_RESET:
            raise StreamError(
                f"{self._topic}/{each.partition()}: does not reach to where it was read, or was cut meanwhile: "
                f"{error.str()}"
            )
        raise StreamUnavailable(f"Kafka: {error.str()}")

    def _try(self, ask: Any) -> Any:
        self._heard = ""
        try:
            return ask()
        except self._library.KafkaException as error:
            # Messages that this gives are read again: where to read on is set anew.
            self._given = None
            self._consumer.poll(0)
            raise StreamUnavailable(f"Kafka: {error.args[0].str()}{self._heard}") from error

    def _hear(self, error: Any) -> None:
        """Keep what the library says of a server, such as of its certificate, which the errors of calls do not say."""
        if error.code() != self._library.KafkaError._ALL_BROKERS_DOWN:
            self._heard = f" ({error.str()})"


def _security(address: StreamAddress, login: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return librdkafka's properties for TLS and SASL; none where the address has neither."""
    tls = address.scheme == "kafka+ssl"
    given = {"ssl.ca.location": options["ca_file"]} if options["ca_file"] else {}
    if given and not tls:
        raise ValueError(f"stream {address.name}: ca_file is for TLS: write kafka+ssl://")
    if not login:
        if options["password_file"]:
            raise ValueError(f"stream {address.name}: password_file is for a user: write {address.scheme}://user@host")
        return given | ({"security.protocol": "SSL"} if tls else {})
    user, _, password = (unquote(part) for part in login.partition(":"))
    if options["sasl"] not in _MECHANISMS:
        raise ValueError(f"stream {address.name}: sasl is one of {', '.join(_MECHANISMS)}")
    if options["password_file"]:
        password = Path(options["password_file"]).read_text().strip()
    if not password:
        raise ValueError(f"stream {address.name}: name a file with the password of {user}: ?password_file=file")
    if options["sasl"] == "PLAIN" and not tls:
        raise ValueError(
            f"stream {address.name}: PLAIN would send the password as it is: write kafka+ssl://, or ?sasl=SCRAM-SHA-512"
        )
    return given | {
        "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
        "sasl.mechanism": options["sasl"],
        "sasl.username": user,
        "sasl.password": password,
    }


def _properties(file: Path) -> dict[str, str]:
    lines = [line.strip() for line in file.read_text().splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and "=" not in line:
            # The line itself is not shown: it may be a password.
            raise ValueError(f"{file}: line {number} is no property: write name=value")
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}
