"""Champions over HTTP: from a request to the numbers that the batch path would give."""
