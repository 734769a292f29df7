"""
The interoperability checklist against a real daemon, a line by a test or more.

A test's id carries the number of its line; ``docs/interop.md`` lists them.
"""
