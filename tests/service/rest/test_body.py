import pytest

from hubbub.protocol.messages import DataType

LIMIT = 1_048_576


def typed(content_type: str) -> dict[str, str]:
    return {"content-type": content_type}


# --- content types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "data_type"),
    [
        ("text/plain", DataType.TEXT),
        ("text/plain; charset=utf-8", DataType.TEXT),
        ('Text/Plain;x=y; CHARSET="UTF-8"', DataType.TEXT),
        ("application/json", DataType.JSON),
        ("APPLICATION/JSON ; charset=utf-8", DataType.JSON),
        ("application/octet-stream", DataType.BINARY),
        ("application/octet-stream; charset=nope", DataType.BINARY),
    ],
)
async def test_content_type_gives_the_data_type(bench, content_type, data_type):
    assert (await bench.send(b"[1]", headers=typed(content_type))).status == 202
    assert (bench.only.payload.data_type, bench.only.payload.raw) == (data_type, b"[1]")


@pytest.mark.parametrize("headers", [{}, {"content-type": ""}])
async def test_ra_030_content_type_when_missing_is_binary(bench, headers):
    assert (await bench.send(b"\x00\xff", headers=headers)).status == 202
    assert bench.only.payload.data_type is DataType.BINARY
    assert bench.only.payload.raw == b"\x00\xff"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "application/x-protobuf",
        "application/jsonx",
        "json",
        "*/*",
        "text/plain; charset=nope",
        "text/plain; charset=",
        "text/plain; charset=idna",
        "text/plain; charset=hex",
        "text/plain; charset=../../os",
        "application/json; charset=rot13",
    ],
)
async def test_ra_028_ra_029_ra_032_content_type_when_not_known_answers_415(bench, content_type):
    answer = await bench.send(b"[1]", headers=typed(content_type))
    assert (answer.status, answer.body, bench.sent) == (415, b"", [])


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-be-with-bom"),
        ("utf-16le", "utf-16-le"),
        ("UTF-16BE", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("iso-8859-1", "latin-1"),
    ],
)
@pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
async def test_ra_031_charset_is_converted_to_utf8(bench, media_type, charset, codec):
    text = '"é"'
    if codec == "utf-16-be-with-bom":
        body = b"\xfe\xff" + text.encode("utf-16-be")
    else:
        body = text.encode(codec)
    answer = await bench.send(body, headers=typed(f"{media_type}; charset={charset}"))
    assert answer.status == 202
    assert bench.only.payload.raw == text.encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"a\xff"),
        ("text/plain; charset=us-ascii", b"\xc3\xa9"),
        ("text/plain; charset=utf-16", b"a"),
        ("application/json", b'"\xff"'),
        ("application/json", b'"\xed\xa0\x80"'),
    ],
)
async def test_text_when_it_does_not_match_its_charset_answers_400(bench, content_type, body):
    answer = await bench.send(body, headers=typed(content_type))
    assert (answer.status, answer.code, bench.sent) == (400, "Error.BadRequest", [])


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream"])
async def test_text_and_binary_may_be_empty(bench, content_type):
    assert (await bench.send(b"", headers=typed(content_type))).status == 202
    assert bench.only.payload.raw == b""


# --- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"1 2",
        b"NaN",
        b"tru",
        b"01",
        b'"\n"',
        b"\xef\xbb\xbf1",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:8]),
)
async def test_ra_027_json_when_malformed_answers_400(bench, body):
    answer = await bench.send(body, headers=typed("application/json"))
    assert (answer.status, answer.code, bench.sent) == (400, "Error.BadRequest", [])
    assert answer.json["message"] == "The request body is not a valid JSON."
    assert answer.json["target"] == "Request"


@pytest.mark.parametrize(
    "body",
    [b'"hi"', b"null", b' {"b" : 1.0e+2,\r\n "a":\t[ ] } ', b"1" * 400, b'{"a":1,"a":2}', b"1e999"],
)
async def test_ra_025_json_is_kept_byte_for_byte(bench, body):
    assert (await bench.send(body, headers=typed("application/json"))).status == 202
    assert bench.only.payload.raw == bench.only.payload.token == body


# --- size ------------------------------------------------------------------------------------


async def test_ra_033_body_of_exactly_the_limit_is_taken(bench):
    assert (await bench.send(b"x" * LIMIT)).status == 202
    assert len(bench.only.payload.raw) == LIMIT


def assert_too_large(bench, answer):
    assert (answer.status, answer.code, bench.sent) == (400, "Error.BadRequest", [])
    assert answer.json["message"] == "Invalid Content-Length header."


async def test_ra_034_body_above_the_limit_is_refused_unread(bench):
    assert_too_large(bench, await bench.send(b"x" * (LIMIT + 1)))
    assert bench.chunks_read == 0


@pytest.mark.parametrize("value", ["-1", "x", "", "+1", "1.0", "9" * 5000, "0x10"])
async def test_content_length_when_no_length_answers_400(bench, value):
    answer = await bench.send(b"x", headers={"content-type": "text/plain", "content-length": value})
    assert_too_large(bench, answer)


async def test_ra_035_chunked_body_up_to_the_limit_is_taken(bench):
    chunks = [b"x" * (LIMIT // 2), b"", b"x" * (LIMIT // 2)]
    assert (await bench.send(chunks)).status == 202
    assert bench.only.payload.raw == b"x" * LIMIT


@pytest.mark.parametrize("first", [LIMIT, LIMIT + 1])
async def test_ra_035_chunked_body_above_the_limit_is_not_read_on(bench, first):
    answer = await bench.send([b"x" * first, b"x", b"x", b"x"])
    assert_too_large(bench, answer)
    assert bench.chunks_read == (2 if first == LIMIT else 1)


async def test_body_limit_is_a_setting(make_bench):
    bench = make_bench(max_message_bytes=3)
    assert (await bench.send(b"xxxx")).status == 400
    assert (await bench.send(b"xxx")).status == 202


@pytest.mark.parametrize("chunks", [[], [b"half"]])
async def test_client_when_it_hangs_up_gets_no_answer_and_nothing_is_sent(bench, chunks):
    assert await bench.send(chunks, hangs_up=True) is None
    assert bench.sent == []


# --- metadata --------------------------------------------------------------------------------


async def metadata_of(bench, *headers: tuple[str, str]):
    answer = await bench.send(headers=[("content-type", "text/plain"), *headers])
    if answer.status == 202:
        return bench.only.options["metadata"]
    assert (answer.status, answer.code, bench.sent) == (400, "Error.BadRequest", [])
    return None


async def test_ra_096_metadata_key_is_lower_cased(bench):
    found = await metadata_of(
        bench, ("X-WebPubSub-Metadata-Trace", " 1 "), ("x-webpubsub-metadata-b!", "")
    )
    assert found == {"trace": "1", "b!": ""}


async def test_metadata_when_repeated_or_joined_is_the_last(bench):
    headers = [("X-WebPubSub-Metadata-A", "1"), ("X-WebPubSub-Metadata-a", "2, 3 , 4 ")]
    assert await metadata_of(bench, *headers) == {"a": "4"}


@pytest.mark.parametrize(
    ("key", "value", "is_taken"),
    [
        ("a", "v" * 1024, True),
        ("a", "v" * 1025, False),
        ("k" * 256, "v", True),
        ("k" * 257, "v", False),
        ("", "v", False),
        ("a(b", "v", False),
        ("a", "é", False),
    ],
)
async def test_ra_096_metadata_has_limits_for_key_and_value(bench, key, value, is_taken):
    found = await metadata_of(bench, (f"X-WebPubSub-Metadata-{key}", value))
    assert found == ({key: value} if is_taken else None)


@pytest.mark.parametrize("extra", [0, 1])
async def test_metadata_total_is_at_most_8192_bytes(bench, extra):
    headers = [(f"X-WebPubSub-Metadata-{i}", "v" * 1023) for i in range(7)]
    headers.append(("X-WebPubSub-Metadata-7", "v" * (1023 + extra)))
    found = await metadata_of(bench, *headers)
    assert (found is None) == bool(extra)
