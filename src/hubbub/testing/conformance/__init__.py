"""Conformance from outside: does a Web PubSub service, whoever made it, do what the cases say?

On the command line: `hubbub conformance`, or `python -m hubbub.testing.conformance`.
"""
