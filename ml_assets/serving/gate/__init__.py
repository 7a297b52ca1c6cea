"""What serving must show before a version is promoted: latency, and no skew."""
