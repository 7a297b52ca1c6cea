"""What a server shows of its requests: metrics, spans and log lines."""
