"""The forms of every kind of client, under the default settings."""

from hubbub.protocol import subprotocols
from hubbub.service.forms import PLAIN, form_for

JSON = form_for(subprotocols.JSON)
RELIABLE = form_for(subprotocols.JSON_RELIABLE)
PROTOBUF = form_for(subprotocols.PROTOBUF)
PROTOBUF_RELIABLE = form_for(subprotocols.PROTOBUF_RELIABLE)
KINDS = (PLAIN, JSON, RELIABLE, PROTOBUF, PROTOBUF_RELIABLE)
