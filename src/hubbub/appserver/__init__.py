"""The SDK for the customer's backend: tokens, sends, event handlers."""
