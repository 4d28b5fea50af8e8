"""Decisions about money movements: no I/O."""
