"""The web application: pages, JSON API, static files."""
