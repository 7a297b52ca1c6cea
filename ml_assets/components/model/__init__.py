"""MLModel: the assets of one model's life, from training set to retrain decision."""
