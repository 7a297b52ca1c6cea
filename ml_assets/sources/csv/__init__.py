"""CSV files: how they are written, and their rows as texts."""
