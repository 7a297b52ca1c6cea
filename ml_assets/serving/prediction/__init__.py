"""From a request to its predictions, whatever the protocol."""
