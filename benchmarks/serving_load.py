"""Load on one server: from clients that ask as soon as they are answered, or at a rate that does not wait for it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """What clients saw: seconds of each answered request, how many failed, and how long it took."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    wall: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    def milliseconds(self, share: float) -> float:
        """The time that this share of the requests took at most."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[int(share * (len(ordered) - 1))]


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, answered, lost) -> None:
        self._answered, self._lost = answered, lost
        self._rest, self._wanted, self._good, self._closing = b"", -1, False, False

    def connection_made(self, transport) -> None:
        self._transport = transport

    def ask(self, request: bytes, began: float) -> None:
        self._began = began
        self._transport.write(request)

    def close(self) -> None:
        self._closing = True
        self._transport.close()

    def connection_lost(self, exc) -> None:
        if not self._closing:
            self._lost(ConnectionError(f"the server closed a connection: {exc or 'without a reason'}"))

    def data_received(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        if self._wanted < 0:
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._rest[:end].lower()
            self._good = head.startswith(b"http/1.1 200")
            self._wanted = end + 4 + int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(self._rest) >= self._wanted:
            self._rest, self._wanted = b"", -1
            self._answered(self, self._began, self._good)


async def _connect(port: int, clients: int, answered, done: asyncio.Future[None]) -> list[_Client]:
    loop = asyncio.get_running_loop()

    def lost(error: ConnectionError) -> None:
        if not done.done():
            done.set_exception(error)

    made = [await loop.create_connection(lambda: _Client(answered, lost), "127.0.0.1", port) for _ in range(clients)]
    return [client for _, client in made]


async def _as_fast_as_it_goes(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    load, done, next_request, asking = Load(), asyncio.get_running_loop().create_future(), 0, clients
    began = time.perf_counter()

    def answered(client: _Client, asked_at: float, good: bool) -> None:
        nonlocal next_request, asking
        now = time.perf_counter()
        load.seconds.append(now - asked_at)
        load.failed += not good
        if now - began < seconds:
            next_request += 1
            client.ask(requests[next_request % len(requests)], now)
        else:
            asking -= 1
            if not asking:
                done.set_result(None)

    connected = await _connect(port, clients, answered, done)
    for number, client in enumerate(connected):
        client.ask(requests[number % len(requests)], time.perf_counter())
    await done
    load.wall = time.perf_counter() - began
    for client in connected:
        client.close()
    return load


async def _at_a_rate(port: int, requests: Sequence[bytes], rate: float, seconds: float, clients: int) -> Load:
    load, free, waiting, done = Load(), [], [], asyncio.get_running_loop().create_future()
    total, sent = int(rate * seconds), 0

    def answered(client: _Client, due: float, good: bool) -> None:
        load.seconds.append(time.perf_counter() - due)
        load.failed += not good
        if waiting:
            client.ask(*waiting.pop(0))
        else:
            free.append(client)
        if len(load.seconds) == total:
            done.set_result(None)

    free.extend(await _connect(port, clients, answered, done))
    connected, began = list(free), time.perf_counter()
    while sent < total and not done.done():
        now = time.perf_counter()
        while sent < total and began + sent / rate <= now:
            # Counted from when it was due: a server that is late makes nobody wait unseen.
            asked = requests[sent % len(requests)], began + sent / rate
            if free:
                free.pop().ask(*asked)
            else:
                waiting.append(asked)
            sent += 1
        await asyncio.sleep(0.0005)
    await done
    load.wall = time.perf_counter() - began
    for client in connected:
        client.close()
    return load


def saturate(port: int, requests: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Ask from some clients, each as soon as it is answered."""
    return _run(_as_fast_as_it_goes(port, requests, clients, seconds))


def pace(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, clients: int = 64) -> Load:
    """Ask so many times a second, whether the server keeps up or not."""
    return _run(_at_a_rate(port, requests, rate, seconds, clients))


def _run(load) -> Load:
    import uvloop

    return uvloop.run(load)
