"""The server under load while all beside it changes and its workers are killed: does an answer fail, or get lost?

Run `python benchmarks/serving_soak.py [--seconds 600] [--home .ml_assets] [--workers 3] [--json]`, after `make run` has
trained the flights in that home, of which it takes a copy. `ml-assets serve flight_delay --replay` answers on 127.0.0.1
about a day that passes SPEED times as fast, from online features of 13 views, while

- four clients ask about one flight at a time and one about 100 at once, each LAG before the present;
- `ml-assets stream` reads departures and weather from files that grow, and every flight that leaves or lands is pushed,
  a landing as a correction, each with an idempotency key by which it is sent again where its worker was killed;
- the champion is swapped every 15 s, the online features are built again every 40 s, and every 30 s a worker is killed
  by SIGKILL, never the oldest, whose memory is watched.

Every answer whose features say that they are complete is held against batch. When it is over the server is ended by
SIGTERM, and its log has to hold each row that was answered once. Exit code 1 says that something failed: an answer, but
for those that a killed worker owed; a row of the log; readiness; or memory, which may grow by GROWTH_MIB in a process
from WARM_UP on.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
from flights_served import MODEL, SPINE, USE_CASE, Flights, copy_home
from soak.connection import Connection, Lost
from soak.facts import STREAMED, Files, Told, flown, streamed
from soak.processes import Family, end, free_port, private_mib, start, wait_until_ready
from soak.questions import Question, Questions, expected_scores, grid_moments, own_moments
from soak.record import Logged, Record, compare_log

FIRST = datetime(2013, 10, 1, 9, tzinfo=UTC)
SPEED = 90
"""Seconds of the day that pass in one: fifteen hours in ten minutes."""
LAG, WITHIN = timedelta(minutes=30), timedelta(hours=1)
"""How long before the present requests are about at least, by when all facts should have come; and how much of the time
before that they are about."""
BUILT_BEHIND = timedelta(minutes=5)
"""How long before the first moment that is asked about builds are made."""

PREDICT, PUSH = f"/v1/models/{MODEL}/predict", f"/v1/push/table/{SPINE}"
SINGLES, PAUSE = 4, 0.05
MANY, MANY_PAUSE = 100, 0.5
SWAP_EVERY, BUILD_EVERY, KILL_EVERY, TELL_EVERY, READY_EVERY, LOOK_EVERY = 15.0, 40.0, 30.0, 0.5, 0.5, 5.0
SENT_TWICE = 10
"""One of so many pushes is sent again although it was answered."""
GROWTH_MIB, WARM_UP = 48.0, 60.0


@dataclass
class Soak:
    """A run: the server and all that goes on around it."""

    flights: Flights
    record: Record
    port: int
    seconds: float
    watched: Mapping[str, Callable[[], int]]
    singles: Questions
    many: Questions
    began: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    unready: Counter[str] = field(default_factory=Counter)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @property
    def present(self) -> datetime:
        """The present moment of the day that passes."""
        return FIRST + timedelta(seconds=SPEED * self.elapsed)

    def connection(self) -> Connection:
        """Return a connection of a new client."""
        return Connection(self.port, self.record.family.workers)

    async def run(self) -> None:
        """Let everything go on until the time is over."""
        told = {table: Told(streamed(self.flights, table, FIRST, last(self.seconds)), FIRST) for table in STREAMED}
        files = Files(stream_folder(self.flights), told)
        legs = Told(flown(self.flights, FIRST, last(self.seconds)), FIRST)
        self.began = time.monotonic()
        pushing = self.connection()
        await asyncio.gather(
            *(self._ask_on(random.Random(number), "one row", self.singles, PAUSE) for number in range(SINGLES)),
            self._ask_on(random.Random(SINGLES), f"{MANY} rows", self.many, MANY_PAUSE),
            self._every(TELL_EVERY, lambda: self._tell(files)),
            self._every(TELL_EVERY, lambda: self._push(pushing, legs)),
            self._every(SWAP_EVERY, self._swap),
            self._every(BUILD_EVERY, self._build),
            self._every(KILL_EVERY, self._kill),
            self._every(READY_EVERY, self._look_whether_ready),
            self._every(LOOK_EVERY, self._look_at_memory),
        )

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        due = self.began + seconds
        while due < self.began + self.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await act()
            due = max(due + seconds, time.monotonic())

    # Those who ask

    async def _ask_on(self, drawn: random.Random, what: str, questions: Questions, pause: float) -> None:
        connection = self.connection()
        while self.elapsed < self.seconds:
            until = self.present - LAG
            question = questions.draw(drawn, until - WITHIN, until)
            if question is not None:
                await self._ask(connection, what, question)
            await asyncio.sleep(pause)
        connection.close()

    async def _ask(self, connection: Connection, what: str, question: Question) -> None:
        self.record.requests[what] += 1
        request = f"soak-{self.record.requests.total()}"
        body = orjson.dumps({"as_of": question.moment, "rows": question.rows})
        try:
            status, answer = await connection.ask("POST", PREDICT, body, x_request_id=request)
        except Lost as lost:
            self.record.lose(what, lost, request, len(question.rows))
            return
        if status != 200:
            self.record.refuse(what, status, answer)
        else:
            self.record.answer(request, question.flights, question.moment, answer)

    async def _look_whether_ready(self) -> None:
        connection = self.connection()
        try:
            status, body = await connection.ask("GET", "/v2/health/ready")
        except Lost as lost:
            self.record.lose("readiness", lost)
        else:
            self.done["looks whether ready"] += 1
            if status != 200:
                self.unready[body[:200].decode(errors="replace")] += 1
        finally:
            connection.close()

    # What changes

    async def _tell(self, files: Files) -> None:
        files.write(self.present)
        self.done["lines streamed"] += len(STREAMED)

    async def _push(self, connection: Connection, legs: Told) -> None:
        """Push what became known of flights; now and then once more, as a client does that missed the answer."""
        told = legs.up_to(self.present)
        body = orjson.dumps(told | {"as_of": told["complete_until"]})
        key = f"soak-{told['complete_until'].isoformat()}"
        self.done["facts pushed"] += len(told["rows"])
        first = await self._push_until_answered(connection, body, key)
        if first is not None and self.record.requests["push"] % SENT_TWICE == 0:
            again = await self._push_until_answered(connection, body, key)
            if again is not None and not again["repeated"]:
                self.record.failed["a push that was sent twice with one key counts twice"] += 1

    async def _push_until_answered(self, connection: Connection, body: bytes, key: str) -> dict | None:
        """Push, again and again with the same key until it is answered; returns the answer, None for a refusal."""
        for attempt in range(10):
            self.record.requests["push"] += 1
            self.done["pushes sent again"] += attempt > 0
            try:
                status, answer = await connection.ask("POST", PUSH, body, idempotency_key=key)
            except Lost as lost:
                self.record.lose("push", lost)
                continue
            if status == 200 and not (told := orjson.loads(answer))["refused"]:
                return told
            self.record.refuse("push", status, answer)
            break
        return None

    async def _swap(self) -> None:
        self.done["champions swapped"] += 1
        version = str(1 + self.done["champions swapped"] % 2)
        await asyncio.to_thread(self.flights.registry.set_alias, MODEL, "champion", version)

    async def _build(self) -> None:
        as_of = self.present - LAG - WITHIN - BUILT_BEHIND
        built = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--build", as_of.isoformat(), env=os.environ, stdout=subprocess.DEVNULL
        )
        self.done["builds" if await built.wait() == 0 else "builds that failed"] += 1

    async def _kill(self) -> None:
        self.done["workers killed"] += bool(self.record.family.kill_one())

    async def _look_at_memory(self) -> None:
        for name, pid in self.watched.items():
            self.memory.setdefault(name, []).append((self.elapsed, private_mib(pid())))


def last(seconds: float) -> datetime:
    """Return the moment of the day at which a run ends."""
    return FIRST + timedelta(seconds=SPEED * seconds)


def stream_folder(flights: Flights) -> Path:
    """Return where the files of the stream are."""
    return flights.home.root / "stream"


def soak(flights: Flights, seconds: float, workers: int) -> dict:
    """Run it, end everything, and return what came of it."""
    begin, until = FIRST - LAG - WITHIN, last(seconds) - LAG
    singles, many = own_moments(flights, begin, until), grid_moments(flights, begin, until, MANY)
    scores = expected_scores(flights, pl.concat([singles, many]))
    flights.build(FIRST - LAG - WITHIN - BUILT_BEHIND)
    flights.follow(FIRST)
    port, home = free_port(), flights.home.root
    server = start(home, "serve", "serve", MODEL, "--replay", "--port", str(port), "--workers", str(workers))
    connector = None
    try:
        wait_until_ready(server, port, home / "serve.log")
        folder = stream_folder(flights)
        family = Family(server.pid)
        timed = {view.name for view in flights.views if view.known_at is not None}
        run = Soak(
            flights, Record(family, scores, timed), port, seconds, {},
            Questions(singles, alone=True), Questions(many, alone=False),
        )  # fmt: skip
        connector = start(home, "stream", "stream", USE_CASE, "--from", f"file://{folder}")
        oldest = family.workers()[0]
        run.watched = {
            "server": lambda: server.pid, "oldest worker": lambda: oldest, "connector": lambda: connector.pid,
            "log writer": lambda: next(iter(family.writers()), 0),
        }  # fmt: skip
        asyncio.run(run.run())
        codes = {"connector": end(connector), "server": end(server)}
    finally:
        for process in filter(None, (connector, server)):
            end(process)
    log = flights.lake.scan(f"{MODEL}/request_log").select("request_id", "row").collect()
    return outcome(run, compare_log(log, run.record), codes)


def outcome(run: Soak, logged: Logged, codes: Mapping[str, int]) -> dict:
    """Gather the numbers of a run, and what of them is wrong."""
    record, growth = run.record, {name: grown(samples) for name, samples in run.memory.items()}
    numbers = {
        "seconds": round(run.elapsed), "load": [round(each, 1) for each in os.getloadavg()],
        "requests": dict(record.requests), "answers by version": dict(record.versions), "rows answered": record.rows,
        "rows equal to batch": record.compared - sum(n for why, n in record.failed.items() if "batch" in why),
        "rows not complete": record.incomplete,
        "failed": dict(record.failed), "of killed workers": dict(record.excused), "log": asdict(logged),
        "not ready": dict(run.unready), **run.done,
        "private memory, MiB, early and late": growth, "exit codes": dict(codes),
    }  # fmt: skip
    return numbers | {"wrong": wrong(run, logged, growth, codes)}


def grown(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean memory of the first minute after the warm-up, and that of the last minute."""
    after = [sample for sample in samples if sample[0] >= min(WARM_UP, samples[-1][0] / 2)]
    few = max(1, len(after) // 9)
    return tuple(round(sum(mib for _, mib in part) / len(part), 1) for part in (after[:few], after[-few:]))


def wrong(run: Soak, logged: Logged, growth: Mapping[str, tuple[float, float]], codes: Mapping[str, int]) -> list[str]:
    """Say what must not be."""
    record = run.record
    said = [f"{count} times {why}" for why, count in record.failed.items()]
    said += [f"{count} times not ready: {why}" for why, count in run.unready.items()]
    parts = ("missing", "doubled", "strangers")
    said += [f"the log: {getattr(logged, part)} {part}" for part in parts if getattr(logged, part)]
    said += [f"{name} grew from {early} to {late} MiB" for name, (early, late) in growth.items()
             if late - early > GROWTH_MIB]  # fmt: skip
    said += [f"{name} ended with {code}" for name, code in codes.items() if code]
    said += ["a build failed"] * run.done["builds that failed"]
    said += [] if record.compared > record.incomplete else ["most answers are about a time not complete yet"]
    return said


def main() -> int:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long it goes on, an hour at most")
    parser.add_argument("--home", type=Path, default=Path(".ml_assets"), help="where `make run` trained the flights")
    parser.add_argument("--workers", type=int, default=3, help="processes that answer, 8 at most")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, help="where to leave the home of the run, which is removed otherwise")
    parser.add_argument("--build", type=datetime.fromisoformat, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build is not None:
        from ml_assets.home import Home

        Flights(Home.under(Path(os.environ["ML_ASSETS_HOME"]))).build(given.build)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        flights = copy_home(given.home, given.keep or Path(folder) / "home")
        numbers = soak(flights, min(given.seconds, 3600.0), min(max(given.workers, 2), 8))
    lines = [f"{name}: {value}" for name, value in numbers.items()]
    print(json.dumps(numbers, indent=2) if given.json else "\n".join(lines))  # noqa: T201
    return int(bool(numbers["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
