"""The reference page of all settings, written from their table.

python -m hubbub.service.settings_page > docs/reference/settings.md
"""

from collections.abc import Iterable

from hubbub.service.auth import KEY_VARIABLE, MIN_KEY_BYTES, SECONDARY_KEY_VARIABLE
from hubbub.service.settings_table import (
    HANDLER_AUTH_HELP,
    HANDLER_SETTINGS,
    HUB_SETTINGS,
    TABLES,
    Setting,
    shown,
)

_INTRODUCTION = """\
# Settings

<!-- Written by `python -m hubbub.service.settings_page`; a test compares. -->

`hubbub serve` reads a setting from its flag, else from the environment, else from the TOML file
that `--config` names, else it takes the default. An unknown name, a wrong type or a value out of
range ends the start with a message that names the setting (exit 2); `hubbub check-config FILE`
finds all such faults at once.

```toml
[service]
port = 8080
public_endpoint = "https://chat.example"

[hubs.chat]
anonymous_connect_policy = "deny"

[[hubs.chat.event_handlers]]
url_template = "http://127.0.0.1:3000/events?hub={hub}"
user_event_pattern = "*"
system_events = ["connect", "disconnected"]
auth = {type = "bearer", token_env = "CHAT_HANDLER_TOKEN"}
```

The variable of a setting is `HUBBUB_<TABLE>_<KEY>`, for example `HUBBUB_SERVICE_PORT`. A variable
that begins like one and names no setting is an error too. Kubernetes sets variables of this form
in every container next to a service that is called `hubbub`: give that service another name, or
set `enableServiceLinks: false`.

A running `hubbub serve` reads the file again when it has changed, looking every two seconds, and
when it gets SIGHUP. The tables `[hubs.NAME]` and their event handlers work from the next event on,
without dropping a client; a change of any other setting needs a new start, and the log names it.
A file with a fault is reported and not used.
"""

_KEYS = f"""\
## Access keys

Keys come from the environment alone, never from the file or a flag: `{KEY_VARIABLE}` and, for a
change of keys, `{SECONDARY_KEY_VARIABLE}`. Both are valid at the same time; the first one signs.
A key is text of at least {MIN_KEY_BYTES} bytes without `;`, control characters or white space
around it. With neither set, a random key is made at the first start and kept in
`$XDG_STATE_HOME/hubbub/access-key` (else `~/.local/state/hubbub/access-key`), readable by this
user only.
"""


def settings_page() -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION]
    for table, rows in TABLES.items():
        parts.append(_section(f"`[{table}]`", rows.values(), has_variables=True))
    parts.append(
        _section("`[hubs.NAME]`", HUB_SETTINGS)
        + "\nHubs without a table work with these defaults.\n"
    )
    parts.append(
        _section("`[[hubs.NAME.event_handlers]]`", HANDLER_SETTINGS)
        + f'| `auth` | `"none"` | {HANDLER_AUTH_HELP} |\n'
        + "\nThe first handler of a hub that matches an event gets it.\n"
    )
    parts.append(_KEYS)
    return "\n".join(parts)


def _section(title: str, rows: Iterable[Setting], *, has_variables: bool = False) -> str:
    lines = [f"## {title}", "", "| setting | default | meaning |", "| --- | --- | --- |"]
    for row in rows:
        name = f"`{row.key}`"
        if row.flag:
            name += f", `{row.flag}`"
        if has_variables:
            name += f"<br>`{row.variable}`"
        meaning = f"{row.help} Value: {row.expected}."
        if not row.field:
            meaning += " Known, but not in this version."
        lines.append(f"| {name} | {_default(row)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(row: Setting) -> str:
    if row.required:
        return "required"
    return "none" if row.default is None else f"`{shown(row.default)}`"


if __name__ == "__main__":
    print(settings_page(), end="")
