"""Which versions serve: champions, and challengers that are tried beside them."""
