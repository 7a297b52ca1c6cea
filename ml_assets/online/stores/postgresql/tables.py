"""The tables of a store, in a schema of their own; `@` stands for the schema."""

import hashlib

TABLES = """
CREATE TABLE @builds (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, view text NOT NULL, state text NOT NULL);
CREATE TABLE @plans (
    number bigint PRIMARY KEY, plan text NOT NULL, base bigint, base_build text, parts bigint NOT NULL DEFAULT 0,
    entities bigint NOT NULL DEFAULT 0, moments bigint NOT NULL DEFAULT 0
);
CREATE TABLE @views (
    view text COLLATE "C" PRIMARY KEY, number bigint NOT NULL, build text NOT NULL, begins bigint NOT NULL,
    valid_until bigint, unseen text NOT NULL, record text NOT NULL, schema bytea NOT NULL
);
CREATE TABLE @moments (
    number bigint, entity text COLLATE "C", valid_from bigint, payload text NOT NULL,
    PRIMARY KEY (number, entity, valid_from)
);
CREATE TABLE @facts (number bigint, entity text COLLATE "C", rows bytea NOT NULL, PRIMARY KEY (number, entity));
CREATE TABLE @pushes (view text COLLATE "C" PRIMARY KEY, last_seq bigint NOT NULL);
CREATE TABLE @pushed (
    view text COLLATE "C", seq bigint, arrived_at bigint NOT NULL, known_at bigint, entity text NOT NULL,
    row text NOT NULL, retracts boolean NOT NULL, short_entity text COLLATE "C" NOT NULL, api_key text,
    PRIMARY KEY (view, seq)
);
CREATE INDEX ON @pushed (view, short_entity);
CREATE TABLE @states (
    number bigint, entity text COLLATE "C", leaf integer, content text NOT NULL, PRIMARY KEY (number, entity, leaf)
);
CREATE TABLE @notes (key text COLLATE "C" PRIMARY KEY, text text NOT NULL, until bigint);
CREATE INDEX ON @notes (until) WHERE until IS NOT NULL;
CREATE TABLE @refused (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, of_table text NOT NULL, arrived_at bigint NOT NULL,
    row text NOT NULL, rules text NOT NULL, columns text NOT NULL, api_key text
);
"""

ADDED = """
ALTER TABLE @pushed ADD COLUMN IF NOT EXISTS api_key text;
ALTER TABLE @refused ADD COLUMN IF NOT EXISTS api_key text;
"""
"""Columns of tables that were there before them."""

_LONGEST = 500
"""Characters of a text that is indexed as it is: an entry of an index holds some 2,700 bytes."""


def short(key: str) -> str:
    """Return a text as it is indexed: itself, or a digest of a long one, which begins as no entity does."""
    return key if len(key) <= _LONGEST else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
