"""Databases: connections, what their types are read as, and queries."""
