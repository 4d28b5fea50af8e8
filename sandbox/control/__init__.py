"""The sandbox's one HTTP port: what a tester reads, pays, moves and breaks. Never part of production."""
