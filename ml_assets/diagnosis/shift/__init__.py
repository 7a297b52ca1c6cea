"""What changed between two periods: the inputs, or the relation between inputs and outcome."""
