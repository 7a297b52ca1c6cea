"""A source as it is scaffolded: its key, its drops and its contract, inferred from a sample of its rows."""
