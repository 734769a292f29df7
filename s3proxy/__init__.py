"""
One S3 endpoint in front of many S3-compatible backends.

Objects are rows, bytes are copies on backends, PostgreSQL is the ledger that
names every byte before it is sent and forgets it only after it is gone.
"""

__version__ = "0.1.0"
