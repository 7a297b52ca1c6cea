"""The features of every entity as of now and of the hours to come, filled by the engine that training uses."""
