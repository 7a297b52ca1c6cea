"""What happened to one model, and its versions side by side."""
