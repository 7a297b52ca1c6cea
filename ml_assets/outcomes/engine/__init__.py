"""The outcome engine: outcomes of the rows of a spine, by the feature engine's windows that end after each row."""
