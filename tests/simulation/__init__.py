"""
Deterministic simulation: the real web, manager and jobs code of two processes, on a
clock that stands still, over one ledger and backends in memory.

A seed decides everything: which suspended call goes on next, which fails and how, when
time passes, when a process dies. The same seed gives the same trace, in any process.
``python -m tests.simulation --start 7 --seeds 1 --trace`` replays one.
"""
