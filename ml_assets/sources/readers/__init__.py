"""Source readers: one module for each format that rows are kept in."""
