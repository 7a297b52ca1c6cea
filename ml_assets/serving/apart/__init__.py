"""Large requests, answered by a process of their own so that they hold up nobody."""
