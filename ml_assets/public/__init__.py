"""What a notebook, a script or a test opens: a project, and what its declarations describe as frames and records.

Everything here only reads: no run is started, no table and no registry is changed, and Dagster stays out of it.
"""
