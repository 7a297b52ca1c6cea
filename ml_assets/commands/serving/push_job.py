"""Facts of a file, pushed to a table batch by batch: into the home's online store, or to a server."""

import hashlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import orjson
from pydantic import BaseModel, ValidationError

from ml_assets.declarations.project import DeclaredProject
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.export import export_refused
from ml_assets.online.facts.files import RowBatch
from ml_assets.online.stores.opening import open_store
from ml_assets.serving.declared import OnlineTable

SHOWN = 5
"""Quarantined rows that are shown with what they break."""

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before a batch is sent again that a server could not take (503)."""

_SECONDS = 60
"""How long a server may take to answer a batch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch.

    Attributes:
        rows: that count.
        retracted: that were taken back.
        refused: place in the batch, from 0, rules.
        repeated: whether it was there already.
    """

    rows: int
    retracted: int
    refused: Sequence[tuple[int, str]]
    repeated: bool


Send = Callable[[Mapping[str, Any], str], Answer]
"""Pushes the body of a request with an idempotency key."""


@dataclass
class PushedFile:
    """What became of a file's rows.

    Attributes:
        rows: that count.
        retracted: that were taken back.
        quarantined: that broke the table's contract, in this push or in the earlier one of the same batch.
        examples: the first of those: number in the file, from 1, and rules.
        repeated: that were there already, counted or taken back by an earlier push of the same batch.
    """

    table: str
    rows: int = 0
    retracted: int = 0
    quarantined: int = 0
    repeated: int = 0
    batches: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: RowBatch, answer: Answer) -> None:
        """Count a batch."""
        self.batches += 1
        if answer.repeated:
            self.repeated += answer.rows + answer.retracted
        else:
            self.rows, self.retracted = self.rows + answer.rows, self.retracted + answer.retracted
        self.quarantined += len(answer.refused)
        room = SHOWN - len(self.examples)
        self.examples += [{"row": batch.first + place, "rules": rules} for place, rules in answer.refused[:room]]

    def as_json(self) -> str:
        """Return it as a JSON object."""
        return orjson.dumps(asdict(self)).decode()

    def lines(self) -> list[str]:
        """Return it in words."""
        counts = [f"{self.rows:,} rows pushed" if not self.retracted else f"{self.retracted:,} rows taken back"]
        counts += [f"{self.repeated:,} were there already"] if self.repeated else []
        counts += [f"{self.quarantined:,} in pushed_quarantine/{self.table}"] if self.quarantined else []
        shown = [f"  row {each['row']}: {each['rules']}" for each in self.examples]
        more = self.quarantined - len(self.examples)
        return [f"{self.table}: {', '.join(counts)}", *shown, *([f"  and {more:,} more"] if more else [])]


def push_batches(
    batches: Iterator[RowBatch], table: str, send: Send, *, name: str, retract: bool, say: Callable[[str], None]
) -> PushedFile:
    """Push batches one after the other.

    The key of a batch is a digest of it and of all before it, so that the same file pushed again within a day counts
    once: what failed is pushed again from the beginning.

    Args:
        name: of this push; with another one the same rows count again.
        say: hears of progress.

    Raises:
        RuntimeError: a batch cannot be pushed, or a line cannot be read; the message has its rows and what is in.
    """
    done, key = PushedFile(table), hashlib.sha256(orjson.dumps([table, name, retract])).hexdigest()
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return done
            key = hashlib.sha256(key.encode() + orjson.dumps(batch.rows, default=str)).hexdigest()
            done.add(batch, send({"retract" if retract else "rows": batch.rows}, key))
        except (ValueError, LookupError, OSError, RuntimeError) as error:
            there = done.rows + done.retracted + done.repeated
            again = f"{there:,} rows before it are in, and count once if the same is pushed again within a day"
            raise RuntimeError(f"table {table!r}: {_reason(error)}: {again}") from error
        say(f"{batch.first + len(batch.rows) - 1:,} rows, {done.quarantined:,} of them quarantined")


def table_of(project: DeclaredProject, home: Home, name: str) -> OnlineTable:
    """Return a table that takes facts; raises ValueError where there is none of that name."""
    from ml_assets.commands.serving.served import declarations

    tables = declarations(project, Lake(home.lake), []).tables
    if name not in tables:
        there = ", ".join(sorted(tables)) or "none"
        raise ValueError(
            f"table {name!r} takes no facts; there are {there}: declare `online:` on a feature view of it, and "
            "materialize the table"
        )
    return tables[name]


@contextmanager
def open_source(source: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for "-"; raises ValueError where it cannot be opened."""
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed below, where errors are other ones
    except OSError as error:
        raise ValueError(f"the file to push cannot be opened: {_reason(error)}: name one that can be read") from error
    with file:
        yield file


def read_api_key(file: Path | None) -> str:
    """Return the key in a file, empty where none is named; raises ValueError where it cannot be read or holds none."""
    if file is None:
        return ""
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--key-file cannot be read: {_reason(error)}: name the file with the server's key") from error
    if not key:
        raise ValueError(f"--key-file {file}: it is empty: write the key into it that `ml-assets keys new` printed")
    return key


def _reason(error: Exception) -> str:
    """Return the message of an error in words, with the file that an error of the system is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    if isinstance(error, UnicodeDecodeError):
        return f"it is no text in UTF-8 (byte {error.start:,} of what was being read)"
    return str(error)


@contextmanager
def into_store(home: Home, table: OnlineTable) -> Iterator[Send]:
    """Push into the online store of a home; at the end, what went to quarantine lies in the lake."""
    from ml_assets.serving.contract_gate import pushed_table

    pushed, store = pushed_table(table), open_store(home.online_store)

    def send(body: Mapping[str, Any], key: str) -> Answer:
        rows, back = body.get("rows", ()), body.get("retract", ())
        done = pushed.push(store, rows, arrived_at=time.time_ns() // 1000, retract=back, key=key)
        return Answer(done.rows, done.retracted, [(each.row, each.rules) for each in done.refused], done.repeated)

    try:
        yield send
        export_refused(store, Lake(home.lake), table.table)
    finally:
        store.close()


def to_server(url: str, table: str, api_key: str, wait: Callable[[float], None] = time.sleep) -> Send:
    """Push to a server; raises ValueError where its address is none.

    Args:
        api_key: empty for a server that lets everybody in.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ValueError(f"--url {url!r}: must be the address of a server, such as http://127.0.0.1:8080")
    path = f"{url.rstrip('/')}/v1/push/table/{quote(table)}"
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {api_key}"} if api_key else {})

    def send(body: Mapping[str, Any], key: str) -> Answer:
        text = _answer(urllib.request.Request(path, orjson.dumps(body), headers | {"idempotency-key": key}), wait)
        try:
            done = _TableAnswer.model_validate_json(text)
        except ValidationError as error:
            begin = text[:200].decode(errors="replace")
            raise RuntimeError(
                f"{path} answers what no server of predictions does ({begin}): check --url, and what lies in between"
            ) from error
        return Answer(done.rows, done.retracted, [(each.row, each.rules) for each in done.refused], done.repeated)

    return send


class _RefusedRow(BaseModel):
    row: int
    rules: str


class _TableAnswer(BaseModel):
    """What a server answers to a push by table."""

    rows: int
    retracted: int
    refused: list[_RefusedRow]
    repeated: bool


_ADVICE = {
    401: "give a key that it knows by --key-file",
    403: "give a key with the scope push by --key-file",
    404: "the table must be one that the server takes facts of",
    413: "make batches smaller by --batch",
    429: "push again later: the key has made too many requests",
}
"""What to do about an answer, by its status."""


def _answer(request: urllib.request.Request, wait: Callable[[float], None]) -> bytes:
    """Return a server's answer; while it cannot take the rows they are sent again: their key makes them count once."""
    pauses = iter(PAUSES)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            pause = next(pauses, None) if error.code == 503 else None
            if pause is None:
                advice = f": {_ADVICE[error.code]}" if error.code in _ADVICE else ""
                raise RuntimeError(f"{request.full_url} answers {error.code}: {text[:1000]}{advice}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            told = _reason(reason) if isinstance(reason, OSError) else str(reason) or type(reason).__name__
            raise RuntimeError(
                f"the server at {request.full_url} cannot be reached ({told}): start it by `ml-assets serve`, or "
                "correct --url"
            ) from error
        wait(pause)
