"""Commands that try a declaration or a policy without registering anything."""
