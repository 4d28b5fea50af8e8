"""Texts and channel decisions of notifications: no I/O."""
