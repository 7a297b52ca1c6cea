"""One delivery of a source: requested, read, placed in its drops, and brought into the declared types."""
