"""The tables of a file, also of one that was made before they had all their columns."""

import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS builds (number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS plans (
    number INTEGER PRIMARY KEY, plan TEXT, base INTEGER, base_build TEXT, parts INTEGER, entities INTEGER,
    moments INTEGER
);
CREATE TABLE IF NOT EXISTS views (
    view TEXT PRIMARY KEY, number INTEGER, build TEXT, begins INTEGER, valid_until INTEGER, unseen TEXT, record TEXT,
    schema BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moments (
    number INTEGER, entity TEXT, valid_from INTEGER, payload TEXT, PRIMARY KEY (number, entity, valid_from)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (number INTEGER, entity TEXT, rows BLOB, PRIMARY KEY (number, entity));
CREATE TABLE IF NOT EXISTS pushes (view TEXT PRIMARY KEY, last_seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pushed (
    view TEXT, seq INTEGER, arrived_at INTEGER, known_at INTEGER, entity TEXT, row TEXT,
    retracts INTEGER NOT NULL DEFAULT 0, api_key TEXT, PRIMARY KEY (view, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pushed_of_entity ON pushed (view, entity);
CREATE TABLE IF NOT EXISTS states (
    number INTEGER, entity TEXT, leaf INTEGER, content TEXT, PRIMARY KEY (number, entity, leaf)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, text TEXT, until INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notes_by_end ON notes (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, of_table TEXT, arrived_at INTEGER, row TEXT, rules TEXT, columns TEXT,
    api_key TEXT
);
"""

_ADDED = {
    ("pushed", "retracts"): "INTEGER NOT NULL DEFAULT 0",
    ("pushed", "api_key"): "TEXT",
    ("refused", "api_key"): "TEXT",
}
"""Columns of tables that were there before them: table and column -> how they are declared."""


def lacking_columns(db: sqlite3.Connection) -> list[str]:
    """Return the statements that add the columns which tables of a file lack that was made before them."""
    there = {table: {column for _, column, *_ in _columns(db, table)} for table, _ in _ADDED}
    return [
        f"ALTER TABLE {table} ADD COLUMN {column} {declared}"
        for (table, column), declared in _ADDED.items()
        if there[table] and column not in there[table]
    ]


def _columns(db: sqlite3.Connection, table: str) -> list[tuple]:
    return db.execute(f"PRAGMA table_info({table})").fetchall()
