import math
from typing import Any

import pytest

from hubbub.service.settings import EventHandlerSettings
from hubbub.service.upstream.choose import Handler, check_handler, choose_system, choose_user


def make_handler(hub: str = "chat", **settings: Any) -> Handler:
    return Handler(hub, make_settings(**settings))


def make_settings(**settings: Any) -> EventHandlerSettings:
    return EventHandlerSettings(**({"url_template": "http://h/eh"} | settings))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("http://h/api/{hub}/{event}", "http://h/api/chat%60a/a%2Fb"),
        ("http://h/api/{HUB}/{Event}", "http://h/api/chat%60a/a%2Fb"),
        ("http://h/x?code=s%2B&e={event}", "http://h/x?code=s%2B&e=a%2Fb"),
        ("http://h/fixed", "http://h/fixed"),
    ],
)
def test_ue_064_ue_065_template_parameters_are_replaced_and_encoded(
    template: str, expected: str
) -> None:
    assert make_handler("chat`a", url_template=template).url("a/b") == expected


def test_hub_name_that_looks_like_a_parameter_is_not_replaced_again() -> None:
    assert make_handler("{event}", url_template="http://h/{hub}").url("x") == "http://h/%7Bevent%7D"


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ("*", "anything", True),
        ("a", "a", True),
        ("a", "A", True),
        (" a , B,c ", "b", True),
        ("a,b", "c", False),
        ("", "a", False),
    ],
)
def test_user_event_pattern_takes_all_one_or_a_list(
    pattern: str, event: str, expected: bool
) -> None:
    assert make_handler(user_event_pattern=pattern).wants_user_event(event) is expected


def test_first_matching_handler_is_chosen() -> None:
    first = make_handler(user_event_pattern="a", system_events=("connect",))
    second = make_handler(user_event_pattern="*", system_events=("connect", "connected"))
    handlers = [first, second]
    assert choose_user(handlers, "a") is first
    assert choose_user(handlers, "b") is second
    assert choose_system(handlers, "connect") is first
    assert choose_system(handlers, "connected") is second
    assert choose_system(handlers, "disconnected") is None


def test_system_events_do_not_take_user_events_of_the_same_name() -> None:
    handler = make_handler(system_events=("connected",))
    assert not handler.wants_user_event("connected")


def test_repr_of_a_handler_leaves_out_the_query() -> None:
    assert repr(make_handler(url_template="http://h/eh?code=secret")) == "http://h/eh"


@pytest.mark.parametrize(
    "template",
    ["http://h", "https://h:8443/a/{hub}?e={event}", "http://[::1]:80/{EVENT}", "http://h/a%20b"],
)
def test_template_by_the_rules_has_no_problem(template: str) -> None:
    assert check_handler(make_settings(url_template=template)) == []


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("http://h/{name}", "{name} is no parameter"),
        ("http://{hub}.com/a", "host"),
        ("http://h/{@Microsoft.KeyVault(SecretUri=https://v/s)}", "key vault"),
        ("tunnel:///eh", "tunnels"),
        ("ftp://h/", "http://"),
        ("/eh", "http://"),
        ("", "http://"),
        ("http:///eh", "no host"),
        ("http://h:99999/", "no valid URL"),
        ("http://[h/", "no valid URL"),
        ("http://u:p@h/", "bearer_token_env"),
        ("http://h/#a", "fragment"),
        ("http://h/{hub", "brace"),
        ("http://h/a b", "percent-encoded"),
        ("http://h/\r\nx", "percent-encoded"),
        ("http://hé/", "percent-encoded"),
    ],
)
def test_ue_064_template_against_the_rules_is_a_problem(template: str, word: str) -> None:
    (problem,) = check_handler(make_settings(url_template=template))
    assert problem.startswith("url_template: ")
    assert word in problem


@pytest.mark.parametrize("pattern", ["a*", "**", "*,a", "a,,b", "1a", "a?", "a/b"])
def test_pattern_in_another_form_is_a_problem(pattern: str) -> None:
    problems = check_handler(make_settings(user_event_pattern=pattern))
    assert problems
    assert all(problem.startswith("user_event_pattern: ") for problem in problems)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"system_events": ("joined",)}, "system_events"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": math.inf}, "timeout_s"),
        ({"timeout_s": math.nan}, "timeout_s"),
        ({"retry_pauses_s": (1, -1)}, "retry_pauses_s"),
        ({"validate": "never"}, "validate"),
        ({"bearer_token_env": ""}, "bearer_token_env"),
    ],
)
def test_other_setting_out_of_range_is_a_problem(settings: dict[str, Any], key: str) -> None:
    (problem,) = check_handler(make_settings(**settings))
    assert problem.startswith(f"{key}: ")
