"""Commands that open the console, and the UIs of Dagster and MLflow."""
