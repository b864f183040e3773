import pytest

from hubbub import browser

PATH = "/_hubbub/client.js"


async def test_client_module_is_open_to_pages_of_any_origin(bench):
    answer = await bench.request("GET", PATH, token=None)
    assert (answer.status, answer.body) == (200, browser.client_source())
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "max-age" in answer.headers["cache-control"]


async def test_client_module_by_head_has_no_body(bench):
    answer = await bench.request("HEAD", PATH, token=None)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(browser.client_source()))


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
async def test_client_module_when_known_answers_304(bench, form):
    etag = (await bench.request("GET", PATH, token=None)).headers["etag"]
    headers = {"if-none-match": form.format(etag)}
    answer = await bench.request("GET", PATH, token=None, headers=headers)
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert "content-length" not in answer.headers


async def test_client_module_when_another_is_known_answers_200(bench):
    answer = await bench.request("GET", PATH, token=None, headers={"if-none-match": '"x"'})
    assert answer.status == 200
