"""``ml-assets console``: pages that read a project, its lake, registry and Dagster's storage."""
