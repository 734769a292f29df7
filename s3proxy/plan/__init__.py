"""Decisions, as pure functions: where bytes go, what a listing returns."""
