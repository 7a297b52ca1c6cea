"""What was tried and what was trained, side by side."""
