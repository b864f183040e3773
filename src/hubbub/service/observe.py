"""Counters of this node. Names are words from a bounded set, never ids."""

from collections import Counter

Counts = Counter[str]
"""`connections.opened|ended|lost|recovered`, `messages.accepted`, `closed.<reason>`,
`handshakes.refused.<status>`, `events.failed`."""
