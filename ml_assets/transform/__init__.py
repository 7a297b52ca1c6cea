"""SQL between the validated tables and the features: dbt on an in-memory DuckDB."""
