"""DbtTables: SQL models of a dbt project."""
