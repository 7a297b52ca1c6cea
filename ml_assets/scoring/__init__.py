"""A fitted model asked with rows: files in a stream, and single rows in microseconds, with the same numbers."""
