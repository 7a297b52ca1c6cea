"""What a model can be handed over as: the interface of a format, and its implementations side by side."""
