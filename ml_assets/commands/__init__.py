"""What each command of ``ml-assets`` does, one package or module per group of commands."""
