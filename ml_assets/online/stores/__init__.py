"""Online stores, each behind the same protocol."""
