"""The ways in which notices reach people, one module each."""
