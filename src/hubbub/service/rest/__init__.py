"""The data-plane REST API: `app.create_app` is the ASGI app for everything but WebSockets."""
