"""Declarations turned into Dagster assets and checks."""
