"""One declared model over its data: what each step of its life computes, from training set to retrain decision."""
