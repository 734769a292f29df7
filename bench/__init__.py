"""Benchmarks: no part of the product, and no test waits for their numbers."""
