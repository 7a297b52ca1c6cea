"""The HTTP server: routes, limits, keys, metrics, traces, and the description of its interface."""
