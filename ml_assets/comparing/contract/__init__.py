"""The contract that a reference suggests, and what breaks it."""
