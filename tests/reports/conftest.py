"""The sandbox's providers beside a month of our own."""

from tests.providers import providers, running_providers

__all__ = ["providers", "running_providers"]
