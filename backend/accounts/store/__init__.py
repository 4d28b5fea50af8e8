"""All SQL of accounts, by topic."""
