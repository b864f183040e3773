"""The names a peer may give: hubs, groups, user events, users."""

import re

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidName

_HUB = re.compile(r"[A-Za-z][A-Za-z0-9_`,.\[\]]*")
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def hub_name(text: str) -> str:
    """The hub's name in lower case (hubs compare without case), or InvalidName."""
    if len(text) > limits.MAX_HUB_NAME_CHARS or not _HUB.fullmatch(text):
        raise InvalidName(
            f"a hub name is a letter and up to {limits.MAX_HUB_NAME_CHARS - 1} more of"
            " letters, digits and _ ` , . [ ]"
        )
    return text.lower()


def group_name(text: str) -> str:
    """The group's name as given (groups compare with case), or InvalidName."""
    if not 0 < len(text) <= limits.MAX_GROUP_NAME_CHARS or text.isspace():
        raise InvalidName(
            f"a group name has 1 to {limits.MAX_GROUP_NAME_CHARS} characters"
            " and is not only white space"
        )
    if not text.isascii():
        _check_unicode(text, "a group name")
    return text


def event_name(text: str) -> str:
    """The name of a user event as given, or InvalidName."""
    if len(text) > limits.MAX_EVENT_NAME_CHARS or not _EVENT.fullmatch(text):
        raise InvalidName(
            f"an event name is a letter and up to {limits.MAX_EVENT_NAME_CHARS - 1} more of"
            " letters, digits and _ . -"
        )
    return text


def user_id(text: str) -> str:
    """The user id as given, or InvalidName. An anonymous user has none, not an empty one."""
    if not 0 < len(text) <= limits.MAX_USER_ID_CHARS:
        raise InvalidName(f"a user id has 1 to {limits.MAX_USER_ID_CHARS} characters")
    if not text.isascii():
        _check_unicode(text, "a user id")
    return text


def _check_unicode(text: str, what: str) -> None:
    """Lone surrogates, which a Python caller can pass, have no UTF-8 form for the wire."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(f"{what} must be valid Unicode") from error
