"""Every number of the protocol, with its unit and where it comes from.

`documented`: official product documentation or client specification; `emulator`: the official
local emulator; `ours`: undocumented, a decision of this project.
"""

MAX_MESSAGE_BYTES = 1_048_576
"""One WebSocket message (all fragments) or one REST body, payload as received. Above: 1009 / 400. emulator."""

MAX_JSON_DEPTH = 64
"""Nesting of arrays and objects in a client's message, the message object included. ours."""

MAX_GROUP_NAME_CHARS = 1024
"""Group name: 1 to this many characters, not only white space. emulator."""

MAX_HUB_NAME_CHARS = 128
"""Hub name: 1 to this many characters of the documented alphabet. documented."""

MAX_EVENT_NAME_CHARS = 128
"""User event name: 1 to this many characters. emulator."""

MAX_USER_ID_CHARS = 1024
"""User id. ours."""

MAX_ACK_ID = 2**64 - 1
"""Ack ids and sequence ids are unsigned 64-bit integers. documented."""

MAX_TTL_S = 300
"""`ttlSeconds` of a message, seconds; 0 = never expires. documented for REST."""

MAX_METADATA_KEY_BYTES = 256
MAX_METADATA_VALUE_BYTES = 1024
MAX_METADATA_TOTAL_BYTES = 8192
"""Message metadata; the total is the sum of all keys and values. emulator."""

ACK_ID_MEMORY = 1000
"""Latest successful ack ids remembered per connection. emulator."""

OUTBOUND_QUEUE_MESSAGES = 1000
OUTBOUND_QUEUE_BYTES = 16 * 1_048_576
"""What may wait for one receiver, and what a reliable one may leave unacknowledged. documented."""

INBOUND_QUEUE_MESSAGES = 1000
INBOUND_QUEUE_BYTES = 1_048_576
"""Requests of one connection that wait behind a user event; then its socket is not read. ours."""

RECOVERY_WINDOW_S = 30
"""How long a lost reliable session lives. documented (at least 30 s)."""

RECONNECTION_TOKEN_LIFE_S = 7 * 24 * 3600
"""Life of a reconnection token. documented (about one week)."""

CLOCK_SKEW_S = 300
"""Tolerance for `exp` and `nbf`. emulator."""

MAX_INVOCATIONS = 100
"""Pending invocations of one connection. ours."""

MAX_INVOCATIONS_BYTES = 4 * 1_048_576
"""Data of the pending invocations of one connection; one alone is always taken. ours."""

MAX_INVOCATION_ID_CHARS = 256
"""Length of an `invocationId`. ours."""

MAX_PATTERN_CHARS = 1024
MAX_PATTERN_STARS = 5
MAX_PATTERNS = 10
MAX_LITERAL_RULES = 1000
"""Group patterns in roles: length, unescaped stars each, patterns and literal names per action. documented, emulator."""

MAX_FILTER_DEPTH = 100
MAX_FILTER_INTEGER = 2**31 - 1
MAX_FILTER_CHARS = 65_536
"""OData filters: nesting of parentheses and calls, largest integer, length. emulator, documented, ours."""

MAX_CLOSE_REASON_BYTES = 123
"""UTF-8 bytes of a close reason (RFC 6455, 5.5)."""

CLOSE_FLUSH_TIMEOUT_S = 5
"""How long a closing connection may take to read what is queued. emulator."""

KEEP_ALIVE_INTERVAL_S = 20
KEEP_ALIVE_INTERVALS_OF_SILENCE = 3
"""WebSocket pings of the service, and how many intervals a peer may be silent. documented / ours."""

MAX_UPSTREAM_ANSWER_BYTES = 16 * 1_048_576
"""Body of an event handler's answer. emulator."""

MAX_CONNECTION_STATE_BYTES = 8192
"""`ce-connectionState` of an answer. ours."""

MAX_REJECTION_BODY_BYTES = 1024
"""Text of a refused `connect` that is passed on to the client. ours."""

MAX_TOKEN_BYTES = 16_384
"""A token longer than this is refused unread. ours."""

STREAM_IDLE_TIMEOUT_MS = 300_000
"""Idle time-out of a group stream whose publisher gives none. documented."""

MAX_STREAM_IDLE_TIMEOUT_MS = 24 * 3600 * 1000
"""Longest idle time-out that is taken. ours."""

MAX_STREAMS = 100
"""Active streams of one connection. ours."""

MAX_STREAM_ID_CHARS = 256
"""Length of a `streamId`. ours."""

MAX_STREAM_ERROR_CHARS = 1024
"""Text and code of a publisher's own error. ours."""

MAX_GROUPS = 10_000
"""Groups that one connection may join by itself. ours."""

STREAM_WINDOW_FRAGMENTS = 256
STREAM_WINDOW_BYTES = 4 * 1_048_576
"""Fragments of a stream that a client keeps until the service has confirmed them. ours."""

MAX_STREAMS_LEFT = 1000
"""Streams of others that a reader remembers to pass over until they end. ours."""

MAX_GROUP_STATE_BYTES = 8192
"""Keys and values of one connection's state in one group, UTF-8. ours."""

MAX_GROUP_STATES = 1000
"""Groups in which one connection has a state or a subscription to states. ours."""

MAX_GROUP_STATES_BYTES = 4 * 1_048_576
"""All states in one group, as JSON: a subscriber gets them at once and may leave 16 MiB. ours."""

GROUP_STATE_MEMORY_S = 300
MAX_CLEARED_STATES = 200
"""How long a client remembers that a state was cleared or came as a change, and how many cleared
ones of a group, to tell an old snapshot from a new one. ours."""
