"""The `linli` command: one entry for every process of the service, and what an operator types."""
