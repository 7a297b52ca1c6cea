"""Commands that show what can be declared and set."""
