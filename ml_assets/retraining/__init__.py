"""Whether to train again: evidence, the decision it leads to, and history lived again under other policies."""
