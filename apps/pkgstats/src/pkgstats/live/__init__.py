"""All use of hubbub: tokens for pages, upstream events, live messages."""
