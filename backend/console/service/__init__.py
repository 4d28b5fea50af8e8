"""Use cases of the operator console: its people, and acting in their name."""
