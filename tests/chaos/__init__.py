"""Tests of the chaos harness: its proxies, its judge, and a short run of it."""
