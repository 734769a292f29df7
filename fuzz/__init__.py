"""
Random bytes against everything that reads what strangers send.

``python -m fuzz`` (``make fuzz``) changes right requests at random and hands them to
the parsers, the verifier, the chunk decoder and a whole front door. The only exception
that may come out is an :class:`~s3proxy.errors.S3Error`; the front door must answer no
500 and log no traceback. Every input follows from seed, target and number, so whatever
is found can be had again: ``python -m fuzz --seed 7 --replay chunks:123``.
"""
