"""Run failures and decisions told to people: always to the log, elsewhere when the environment declares it."""
