"""The page of a prediction: why a row got its score, and what would change it."""
