"""What a project declares, read without Dagster."""
