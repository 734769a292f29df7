"""The language of S3: pure functions and values, no input or output."""
