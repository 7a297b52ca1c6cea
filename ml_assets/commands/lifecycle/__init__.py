"""Commands that live through the drops of a use case, and those that show what came of it."""
