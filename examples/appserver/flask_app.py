"""Flask: both apps go in front of Flask's own, by path."""

from backend import handler, negotiator
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, {"/negotiate": negotiator.wsgi(), "/eventhandler": handler.wsgi()}
)
