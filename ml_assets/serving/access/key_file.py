"""The file of keys: names, digests and scopes, never a key."""

import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ml_assets.serving.access.digests import digest_of, is_digest
from ml_assets.serving.access.scopes import SCOPES, Scope

PREFIX = "mla_"
"""What keys begin with, so that whoever finds one knows what it is."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Key(BaseModel):
    """A key that is let in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Who holds it: stands in logs and the audit.")
    digest: str = Field(description="SHA-256 of the key, in hex.")
    scopes: tuple[Scope, ...] = Field(description="What it allows.")
    per_minute: int = Field(default=0, ge=0, description="Requests that it may make in a minute; 0 for any number.")
    made_at: str = Field(default="", description="When it was made, ISO 8601 in UTC.")

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"name {name[:70]!r} must be 1 to 64 letters, digits and . _ @ -, a letter or digit first")
        return name

    @field_validator("digest")
    @classmethod
    def _hashed(cls, digest: str) -> str:
        if not is_digest(digest):
            raise ValueError("digest must be the SHA-256 of a key in hex, never the key")
        return digest

    @field_validator("scopes")
    @classmethod
    def _any(cls, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
        if not scopes:
            raise ValueError(f"scopes: name at least one of {', '.join(SCOPES)}")
        return tuple(scope for scope in SCOPES if scope in scopes)


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = Field(description="Keys that are let in.")


class KeyFile:
    """Keys in a JSON file, which only its owner may read. Changes replace the file, one at a time.

    Where there is a file, it needs a key to be let in, also where it holds none any more. An empty file beside it,
    named `<file>.made`, remembers that there was one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = path.with_name(f"{path.name}.made")

    @property
    def lost(self) -> bool:
        """Whether there were keys, and their file is gone."""
        return self.state() is None and self._made.exists()

    def remember(self) -> None:
        """Remember, where there is a file, that there was one; raises OSError where that cannot be written."""
        if self.state() is not None and not self._made.exists():
            self._made.touch()

    def remove_all(self) -> None:
        """Remove the file and what remembers it, so that a server which starts lets everybody in.

        Raises:
            LookupError: there is neither.
        """
        if self.state() is None and not self._made.exists():
            raise LookupError(f"there are no keys: {self.path} is not there")
        with self._locked():
            self._made.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def state(self) -> tuple[int, ...] | None:
        """Return what is another once the file has changed; None where there is none."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            return None
        return about.st_mtime_ns, about.st_ino, about.st_size

    def read(self) -> list[Key]:
        """Return the keys, none where there is no file.

        Raises:
            ValueError: the file is not as it must be.
            OSError: it cannot be read.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            keys = _Keys.model_validate_json(text).keys
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"the file of keys {self.path} cannot be read: {place} {first['msg']}") from None
        for what in ("name", "digest"):
            values = [getattr(key, what) for key in keys]
            if len(set(values)) < len(values):
                raise ValueError(f"the file of keys {self.path} has two keys of one {what}")
        return keys

    def add(self, name: str, scopes: Sequence[Scope], *, per_minute: int = 0, made_at: str = "") -> tuple[Key, str]:
        """Make a key of 256 random bits; returns what is known of it, and the key, which is kept nowhere.

        Raises:
            ValueError: there is a key of that name, or an argument is not as it must be.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        try:
            key = Key(
                name=name, digest=digest_of(secret), scopes=tuple(scopes), per_minute=per_minute, made_at=made_at
            )  # fmt: skip
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

        def with_key(keys: list[Key]) -> list[Key]:
            if any(each.name == name for each in keys):
                raise ValueError(f"there is a key named {name!r} already: revoke it first, or choose another name")
            return [*keys, key]

        self._change(with_key)
        return key, secret

    def remove(self, name: str) -> Key:
        """Remove a key, which is let in no more; raises LookupError where none has that name."""
        removed: list[Key] = []

        def without(keys: list[Key]) -> list[Key]:
            removed[:] = [key for key in keys if key.name == name]
            if not removed:
                there = ", ".join(key.name for key in keys) or "none"
                raise LookupError(f"there is no key named {name!r} in {self.path}; there are: {there}")
            return [key for key in keys if key.name != name]

        self._change(without)
        return removed[0]

    def _change(self, change: Callable[[list[Key]], Iterable[Key]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            text = _Keys(keys=list(change(self.read()))).model_dump_json(indent=2)
            # Made readable by its owner alone, and whole before others see it.
            first = not self._made.exists()
            descriptor, made = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                self._made.touch()
                Path(made).replace(self.path)
            except OSError:
                Path(made).unlink(missing_ok=True)
                if first:
                    self._made.unlink(missing_ok=True)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
