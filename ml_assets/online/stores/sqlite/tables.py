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
    retracts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (view, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pushed_of_entity ON pushed (view, entity);
CREATE TABLE IF NOT EXISTS states (
    number INTEGER, entity TEXT, leaf INTEGER, content TEXT, PRIMARY KEY (number, entity, leaf)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, text TEXT, until INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notes_by_end ON notes (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, of_table TEXT, arrived_at INTEGER, row TEXT, rules TEXT, columns TEXT
);
"""

SINCE_RETRACTIONS = "ALTER TABLE pushed ADD COLUMN retracts INTEGER NOT NULL DEFAULT 0"


def has_retractions(db: sqlite3.Connection) -> bool:
    """Return whether the file was made, or opened, since facts can be taken back."""
    return "retracts" in [column for _, column, *_ in db.execute("PRAGMA table_info(pushed)")]
