"""Whether stored features keep the point-in-time rule, checked by plain recomputation."""
