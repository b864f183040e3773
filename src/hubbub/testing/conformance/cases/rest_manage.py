"""Closing, existence, groups, bulk changes and listings by REST."""

from urllib.parse import quote, urlsplit

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Answer, Trial
from hubbub.testing.conformance.wire import JSON, RELIABLE, WireClient

_JSON = "application/json"


async def reaches(trial: Trial, group: str, people: dict[str, WireClient]) -> str:
    """Names of those whom a message to the group reaches."""
    await trial.send(b"hi", to=f"/groups/{group}")
    return await trial.reached(people)


async def turned_out(client: WireClient, reason: str) -> None:
    await client.wait(type="system", event="disconnected", message=reason)
    await client.closed(1000)


# --- closing and existence -------------------------------------------------------------------


@case("RA-052")
async def close_a_connection(trial: Trial) -> None:
    client, other = await trial.client(), await trial.client()
    path = f"/connections/{client.connection_id}"
    await trial.rest("DELETE", path, query="reason=bye", expect=204)
    await turned_out(client, "bye")
    await trial.fence(other)


@case("RA-053")
async def close_an_unknown_connection(trial: Trial) -> None:
    await trial.rest("DELETE", "/connections/nobody", query="reason=bye", expect=204)


@case("RA-054")
async def close_all(trial: Trial) -> None:
    spared, one, reliable = [await trial.client(kind) for kind in (JSON, JSON, RELIABLE)]
    query = f"excluded={spared.connection_id}&reason=bye"
    await trial.rest("POST", "/:closeConnections", query=query, expect=204)
    await turned_out(one, "bye")
    await turned_out(reliable, "bye")
    await trial.fence(spared)


@case("RA-055")
async def close_a_group_or_a_user(trial: Trial) -> None:
    other = await trial.client(user="v", groups=["h"])
    for path in ("/groups/g", "/users/u"):
        one, spared = [await trial.client(user="u", groups=["g"]) for _ in range(2)]
        query = f"excluded={spared.connection_id}&reason=bye"
        await trial.rest("POST", f"{path}/:closeConnections", query=query, expect=204)
        await turned_out(one, "bye")
        await trial.fence(spared, other)
        await spared.close()


@case("RA-056")
async def connection_exists(trial: Trial) -> None:
    client = await trial.client()
    await trial.rest("HEAD", f"/connections/{client.connection_id}", expect=200)
    await trial.rest("HEAD", "/connections/nobody", expect=404)


@case("RA-057")
async def user_exists(trial: Trial) -> None:
    await trial.client(user="u")
    await trial.rest("HEAD", "/users/u", expect=200)
    await trial.rest("HEAD", "/users/nobody", expect=404)


@case("RA-058")
async def group_exists(trial: Trial) -> None:
    client = await trial.client(groups=["g"])
    await trial.rest("HEAD", "/groups/g", expect=200)
    await client.ask({"type": "leaveGroup", "group": "g", "ackId": 1})
    answer = await trial.rest("HEAD", "/groups/g")
    answer.expect(404, "Warning.Group.NotExisted")


# --- groups ----------------------------------------------------------------------------------


@case("RA-059")
async def add_a_connection(trial: Trial) -> None:
    people = {"A": await trial.client(), "B": await trial.client()}
    path = f"/groups/g/connections/{people['A'].connection_id}"
    for _ in range(2):
        await trial.rest("PUT", path, expect=200)
    trial.equal(await reaches(trial, "g", people), "A", "who is in the group")


@case("RA-060")
async def add_an_unknown_connection(trial: Trial) -> None:
    answer = await trial.rest("PUT", "/groups/g/connections/nobody")
    answer.expect(404, "Error.Connection.NotExisted")


@case("RA-061")
async def remove_a_connection(trial: Trial) -> None:
    client = await trial.client()
    for connection in (client.connection_id, "nobody"):
        await trial.rest("DELETE", f"/groups/g/connections/{connection}", expect=204)


@case("RA-062")
async def remove_from_all_groups(trial: Trial) -> None:
    people = {"A": await trial.client(groups=["g1", "g2"])}
    path = f"/connections/{people['A'].connection_id}/groups"
    await trial.rest("DELETE", path, expect=204)
    for group in ("g1", "g2"):
        trial.equal(await reaches(trial, group, people), "", f"who is in {group}")


@case("RA-063")
async def add_a_user(trial: Trial) -> None:
    people = {"A": await trial.client(user="u"), "B": await trial.client(user="u")}
    await trial.rest("PUT", "/users/u/groups/g", expect=200)
    people["C"] = await trial.client(user="u")
    trial.equal(await reaches(trial, "g", people), "AB", "who is in the group")


@case("RA-064", is_ours=True)
async def add_an_unknown_user(trial: Trial) -> None:
    await trial.rest("PUT", "/users/nobody/groups/g", expect=200)


@case("RA-065")
async def remove_a_user(trial: Trial) -> None:
    people = {
        "A": await trial.client(user="u", groups=["g1", "g2"]),
        "B": await trial.client(user="v", groups=["g1", "g2"]),
    }
    await trial.rest("DELETE", "/users/u/groups/g1", expect=204)
    came = [await reaches(trial, group, people) for group in ("g1", "g2")]
    trial.equal(came, ["B", "AB"], "who is in g1 and in g2")
    await trial.rest("DELETE", "/users/u/groups", expect=204)
    trial.equal(await reaches(trial, "g2", people), "B", "who is in g2")
    await trial.rest("DELETE", "/users/nobody/groups/g1", expect=204)
    await trial.rest("DELETE", "/users/nobody/groups", expect=204)


# --- bulk ------------------------------------------------------------------------------------


async def _bulk(
    trial: Trial, body: bytes, expect: int, verb: str = "addToGroups", kind: str = _JSON
) -> None:
    await trial.rest("POST", f"/:{verb}", body, kind, expect=expect)


@case("RA-066")
async def bulk_with_a_filter(trial: Trial) -> None:
    people = {"A": await trial.client(user="u"), "B": await trial.client()}
    await _bulk(trial, b"""{"groups":["g1","g2"],"filter":"userId eq 'u'"}""", 200)
    for group in ("g1", "g2"):
        trial.equal(await reaches(trial, group, people), "A", f"who is in {group}")


@case("RA-067")
async def bulk_without_a_filter(trial: Trial) -> None:
    people = {"A": await trial.client(user="u"), "B": await trial.client()}
    await _bulk(trial, b'{"groups":["g"]}', 200)
    trial.equal(await reaches(trial, "g", people), "AB", "who is in the group")


@case("RA-068")
async def bulk_without_groups(trial: Trial) -> None:
    for body in (b'{"groups":[]}', b"{}"):
        await _bulk(trial, body, 400)


@case("RA-069")
async def bulk_with_a_bad_group(trial: Trial) -> None:
    people = {"A": await trial.client()}
    await _bulk(trial, b'{"groups":["g","  "]}', 400)
    trial.equal(await reaches(trial, "g", people), "", "who is in the group")


@case("RA-070")
async def bulk_body_at_fault(trial: Trial) -> None:
    await _bulk(trial, b'{"groups":["g"]}', 415, kind="text/plain")
    await _bulk(trial, b"[1", 400)


@case("RA-071")
async def bulk_that_matches_nobody(trial: Trial) -> None:
    people = {"A": await trial.client(groups=["g"])}
    body = b"""{"groups":["g"],"filter":"userId eq 'nobody'"}"""
    await _bulk(trial, body, 200, "removeFromGroups")
    trial.equal(await reaches(trial, "g", people), "A", "who is in the group")


# --- listings --------------------------------------------------------------------------------

_LIST = "/groups/g/connections"


async def _pages(trial: Trial, query: str) -> list[int]:
    """Sizes of the pages; the connections of all pages have to be different ones."""
    sizes: list[int] = []
    seen: set[str] = set()
    answer = await trial.rest("GET", _LIST, query=query, expect=200)
    while len(sizes) < 10:
        members = [str(member["connectionId"]) for member in answer.json["value"]]
        sizes.append(len(members))
        trial.check(not seen & set(members), "each member on one page only", members)
        seen |= set(members)
        link = answer.json.get("nextLink")
        if not link:
            break
        answer = await _follow(trial, link)
    return sizes


async def _follow(trial: Trial, link: str) -> Answer:
    parts = urlsplit(link)
    return await trial.rest("GET", parts.path, query=parts.query, expect=200)


async def _five(trial: Trial) -> None:
    for _ in range(5):
        await trial.client(groups=["g"])


@case("RA-081")
async def list_in_pages(trial: Trial) -> None:
    await _five(trial)
    trial.equal(await _pages(trial, "maxpagesize=2"), [2, 2, 1], "the sizes of the pages")


@case("RA-082")
async def list_with_top(trial: Trial) -> None:
    await _five(trial)
    trial.equal(await _pages(trial, "maxpagesize=2&top=3"), [2, 1], "the sizes of the pages")


@case("RA-083")
async def list_with_bad_sizes(trial: Trial) -> None:
    for query in ("maxpagesize=0", "maxpagesize=201", "maxpagesize=x", "top=0"):
        await trial.rest("GET", _LIST, query=query, expect=400)


@case("RA-084")
async def list_with_a_foreign_token(trial: Trial) -> None:
    await trial.rest("GET", _LIST, query=f"continuationToken={quote('forged')}", expect=400)


@case("RA-085")
async def list_an_unknown_group(trial: Trial) -> None:
    answer = await trial.rest("GET", "/groups/unknown/connections", expect=200)
    trial.equal(answer.json.get("value"), [], "the members")
