"""What is said between client, service and application server. No I/O, no clock, no random.

Time and ids are passed in by the caller, so every rule here is tested without waiting.
"""
