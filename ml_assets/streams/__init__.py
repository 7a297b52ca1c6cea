"""Facts from streams: read message by message, pushed by table, with the position kept beside the facts."""
