"""Commands that open the UIs of Dagster and MLflow."""
