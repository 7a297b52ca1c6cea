"""What all stores in SQL databases have in common."""
