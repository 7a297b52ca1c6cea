"""Commands that answer requests, and those that prepare and gather what the answers need."""
