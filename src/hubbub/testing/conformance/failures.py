"""How a case ends that does not pass."""

import json
import re

from hubbub.protocol.errors import HubbubError

_LONGEST = 300
_SECRETS = re.compile(
    r"""(access_token=|awps_reconnection_token=|Bearer |"(?:reconnectionToken|token)": ?")[^&"\s]+"""
)


class CaseFailed(HubbubError):
    """The service did not do what the case says. The text: what was expected, what came."""

    code = "CaseFailed"

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")


class NotApplicable(HubbubError):
    """The case cannot be judged here; the text is the reason."""

    code = "NotApplicable"


class CannotRun(HubbubError):
    """No case can be run: wrong use, or no service to talk to."""

    code = "CannotRun"


def shown(value: object) -> str:
    """A value for people: short, on one line, without tokens."""
    if isinstance(value, bytes):
        text = f"bytes {value[:60].hex(' ')}{'…' if len(value) > 60 else ''} ({len(value)})"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = _SECRETS.sub(r"\1…", text).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
