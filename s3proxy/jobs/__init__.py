"""Background work on LoopingCall, and what it runs."""
