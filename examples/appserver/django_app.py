"""Django: both apps go in front of Django's own WSGI application, by path."""

import sys

import django
from backend import handler, negotiator
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import execute_from_command_line
from werkzeug.middleware.dispatcher import DispatcherMiddleware

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for this example only",
    WSGI_APPLICATION=f"{__name__}.app",
)
django.setup()
urlpatterns: list[object] = []
app = DispatcherMiddleware(
    WSGIHandler(), {"/negotiate": negotiator.wsgi(), "/eventhandler": handler.wsgi()}
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
