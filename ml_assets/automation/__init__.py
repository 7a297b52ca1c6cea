"""What runs when: jobs, the lifecycle of a use case, recovery after a kill."""
