"""What Dagster looks at from time to time, and the runs that it requests."""
