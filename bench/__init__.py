"""Benchmarks. Nothing here is part of the product, and no test waits for its numbers."""
