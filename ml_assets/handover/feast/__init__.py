"""Feature views as a Feast repository."""
