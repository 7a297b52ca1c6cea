"""Signing in with a key, and out."""
