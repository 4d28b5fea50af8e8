"""The sandbox's providers for these tests."""

from tests.providers import providers, running_providers

__all__ = ["providers", "running_providers"]
