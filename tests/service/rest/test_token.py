import jwt
import pytest

PATH = "/api/hubs/Chat/:generateToken"


def claims_of(answer, key: str) -> dict:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert list(answer.json) == ["token"]
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    return jwt.decode(answer.json["token"], key, algorithms=["HS256"], options=options)


async def test_ra_089_generate_token_with_a_key_signed_token_answers_a_client_token(bench, world):
    claims = claims_of(await bench.request("POST", PATH), world.KEY)
    assert claims["aud"] == f"{world.ORIGIN}/client/hubs/chat"
    assert claims["exp"] == world.NOW + 3600
    assert not {"sub", "role", "webpubsub.group"} & claims.keys()


async def test_ra_087_generate_token_puts_the_parameters_into_claims(bench, world):
    query = "userId=u&role=r1&role=r2&group=g&minutesToExpire=5"
    claims = claims_of(await bench.request("POST", PATH, query=query), world.KEY)
    assert (claims["sub"], claims["exp"] - world.NOW) == ("u", 300)
    assert claims["role"] == ["r1", "r2"]
    assert claims["webpubsub.group"] in ("g", ["g"])


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("minutesToExpire=0", "minutesToExpire"),
        ("minutesToExpire=-1", "minutesToExpire"),
        ("minutesToExpire=x", "minutesToExpire"),
        ("minutesToExpire=2147483648", "minutesToExpire"),
        ("minutesToExpire=1&minutesToExpire=1", "minutesToExpire"),
        ("clientType=foo", "clientType"),
        ("clientType=", "clientType"),
        ("clientType=socketio", "clientType"),
        ("group=" + "g" * 1025, "group"),
        ("group=ok&group=%20", "group"),
        ("userId=a&userId=b", "userId"),
        ("userId=" + "u" * 1025, "userId"),
    ],
)
async def test_ra_088_generate_token_when_a_parameter_is_bad_answers_400(bench, query, target):
    answer = await bench.request("POST", PATH, query=query)
    assert (answer.status, answer.code) == (400, "Error.BadRequest")
    assert answer.json["target"] == target


@pytest.mark.parametrize(
    ("client_type", "path"),
    [
        ("Default", "/client/hubs/chat"),
        ("default", "/client/hubs/chat"),
        ("MQTT", "/clients/mqtt/hubs/chat"),
        ("mqtt", "/clients/mqtt/hubs/chat"),
    ],
)
async def test_ra_088_generate_token_client_type_gives_the_path(bench, world, client_type, path):
    answer = await bench.request("POST", PATH, query=f"clientType={client_type}")
    assert claims_of(answer, world.KEY)["aud"] == world.ORIGIN + path


async def test_generate_token_user_when_empty_is_anonymous(bench, world):
    answer = await bench.request("POST", PATH, query="userId=")
    assert "sub" not in claims_of(answer, world.KEY)


async def test_generate_token_when_a_public_endpoint_is_set_names_it(make_bench, world):
    bench = make_bench(public_endpoint="https://push.example.com")
    claims = claims_of(await bench.request("POST", PATH), world.KEY)
    assert claims["aud"] == "https://push.example.com/client/hubs/chat"


async def test_ra_102_generate_token_when_entra_is_required_answers_401(make_bench):
    bench = make_bench(generate_token_requires_entra=True)
    answer = await bench.request("POST", PATH)
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await bench.send()).status == 202


async def test_generate_token_hub_when_bad_answers_400(bench):
    answer = await bench.request("POST", "/api/hubs/1bad/:generateToken")
    assert (answer.status, answer.json["message"]) == (400, "Invalid hub name.")
