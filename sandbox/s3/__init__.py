"""An S3-compatible bucket that checks signatures."""
