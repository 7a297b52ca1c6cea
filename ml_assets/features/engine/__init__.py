"""The point-in-time engine: the features of a view for the rows of a spine, as of each row's own time."""
