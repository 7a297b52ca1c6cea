"""What learns: the interface of a model kind, and its implementations side by side."""
