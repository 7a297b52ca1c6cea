"""The online store in a PostgreSQL database: shared by servers on many machines, one statement a read."""
