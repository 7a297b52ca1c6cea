"""What assets report to Dagster: tables, columns, pictures and the checks of each drop."""
