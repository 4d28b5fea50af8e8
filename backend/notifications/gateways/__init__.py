"""One small transport per channel."""
