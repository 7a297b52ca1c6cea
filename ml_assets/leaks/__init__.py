"""Signs of a leak in a model's tables: moments that cannot be true, rows that were rewritten after they were used."""
