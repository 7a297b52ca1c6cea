"""The store behind MLflow: its database, its server, and the import of MLflow itself."""
