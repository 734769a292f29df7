"""
The chaos harness: two daemons, every fault, and a judge.

``python -m chaos --minutes 10`` (``make chaos``) runs the real daemons over a real
PostgreSQL and real S3 servers, breaks whatever can be broken while many clients write
and read the same keys, and then compares what the clients were told with what is there.
docs/reliability.md tells what it does and what came of it.
"""
