"""
An explicit-state model of the commit protocol (docs/protocol.md).

Every interleaving of a few requests, of crashes at any step, of bodies and deletions
that land late, of lost answers, and of the collector is looked at, one by one. A rule
of the protocol is a flag of :class:`tests.model.state.Rules`; without it something must
break, or the model would prove nothing.
"""
