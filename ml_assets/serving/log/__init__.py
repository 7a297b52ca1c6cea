"""The request log: predictions as they were served, compared with what training would have computed."""
