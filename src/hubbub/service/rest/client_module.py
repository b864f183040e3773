"""`/_hubbub/client.js`: the browser client as one ES module, for pages of any origin."""

import functools
import hashlib

from starlette.responses import Response

from hubbub import browser
from hubbub.service.rest.call import Call


async def client_module(call: Call) -> Response:
    source, etag = _source()
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "public, max-age=300",
        "ETag": etag,
    }
    known = call.header(b"if-none-match")
    if known is not None and _is_known(known.decode("latin-1"), etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = "text/javascript; charset=utf-8"
    return Response(source, headers=headers)


@functools.cache
def _source() -> tuple[bytes, str]:
    source = browser.client_source()
    return source, f'"{hashlib.sha256(source).hexdigest()[:32]}"'


def _is_known(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags
