"""Everything that was decided, and what a person is asked to decide."""
