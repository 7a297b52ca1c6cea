"""Request protocols: bytes to a request for predictions, and predictions to bytes."""
