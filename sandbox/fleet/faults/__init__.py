"""The faults a tester can cause, each with a name, the devices it fits and a sentence on what it does."""
