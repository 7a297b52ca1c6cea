"""Who may look and who may change: keys, sessions of browsers, and requests that other sites made."""
