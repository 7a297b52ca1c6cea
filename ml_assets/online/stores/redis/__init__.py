"""The online store in Redis: shared by servers on many machines, one round trip a read."""
