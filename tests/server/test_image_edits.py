"""`POST /v1/images/edits`: forms with files in them, as handlers and endpoints get them, and what is refused."""

from io import BytesIO
from typing import Any

import anyio
import httpx
import openai
import pytest

import tokenwire
from tokenwire import CustomLLM, ImageResponse
from tokenwire.server import create_app, forms
from tokenwire.testing import Endpoint, Reply

from .conftest import Ask, Served, VisitApp

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PATH = "/v1/images/edits"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2
FIELDS = {"model": "m", "prompt": "A hat"}


class Editor(CustomLLM):
    """Reads the files while the request lasts, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.files: list[Any] = []
        self.read: list[tuple[str, bytes, str | None]] = []

    async def aimage_edit(
        self,
        model: str,
        image: Any,
        prompt: str,
        model_response: ImageResponse,
        api_key: str | None,
        api_base: str | None,
        optional_params: dict[str, Any],
        logging_obj: Any,
        timeout: Any = None,  # noqa: ASYNC109
        client: Any = None,
    ) -> ImageResponse:
        self.asked = {"model": model, "prompt": prompt, "optional_params": optional_params}
        self.files = [*image, *([optional_params["mask"]] if "mask" in optional_params else [])]
        self.read = [(file.name, file.read(), file.content_type) for file in self.files]
        return ImageResponse(created=1, data=[tokenwire.ImageObject(url="https://example.com/edited.png")])


@pytest.fixture
def editor() -> Editor:
    return Editor()


def form(files: Any, fields: dict[str, Any] = FIELDS) -> dict[str, Any]:
    """The body and the headers of a form, made by httpx."""
    request = httpx.Request("POST", "http://localhost", data=fields, files=files)
    return {"body": request.read(), "path": PATH, "headers": dict(request.headers)}


async def test_an_edit(ask: Ask, editor: Editor) -> None:
    files = [("image", ("a \u00fc.png", PNG, "image/png")), ("mask", ("mask.png", b"mask"))]
    answer = await ask(create_app({"m": editor}), **form(files, {**FIELDS, "n": "2", "size": "1x1", "own": "yes"}))
    assert (answer.status, answer.json()) == (200, {"created": 1, "data": [{"url": "https://example.com/edited.png"}]})
    assert editor.read == [("a \u00fc.png", PNG, "image/png"), ("mask.png", b"mask", "image/png")]
    mask = editor.files[1]
    assert editor.asked["optional_params"] == {"n": 2, "size": "1x1", "own": "yes", "mask": mask}
    assert (editor.asked["model"], editor.asked["prompt"]) == ("m", "A hat")
    assert all(file.closed for file in editor.files)


async def test_several_images(ask: Ask, editor: Editor) -> None:
    await ask(create_app({"m": editor}), **form([("image[]", ("1", b"one")), ("image[]", ("2", b"two"))]))
    assert [(name, data) for name, data, _ in editor.read] == [("1", b"one"), ("2", b"two")]
    await ask(create_app({"m": editor}), **form([("image", ("1", b"one")), ("image", ("2", b"two"))]))
    assert [(name, data) for name, data, _ in editor.read] == [("1", b"one"), ("2", b"two")]


async def test_a_form_in_any_pieces(ask: Ask, editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a body is cut, and on the disk as in memory."""
    monkeypatch.setattr(forms, "SPOOLED_BYTES", 64)
    app, sent = create_app({"m": editor}), form([("image", ("a.png", PNG)), ("mask", ("m", b""))])
    for size in (1, 1000):
        body = [sent["body"][start : start + size] for start in range(0, len(sent["body"]), size)]

        async def receive(body: list[bytes] = body) -> dict[str, Any]:
            if not body:
                await anyio.sleep_forever()
            return {"type": "http.request", "body": body.pop(0), "more_body": bool(body)}

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200

        headers = [(name.encode(), value.encode()) for name, value in sent["headers"].items()]
        await app({"type": "http", "method": "POST", "path": PATH, "headers": headers}, receive, send)
        assert [data for _, data, _ in editor.read] == [PNG, b""]
        assert all(file.closed for file in editor.files)


@pytest.mark.parametrize(
    "files, fields, status, param, words",
    [
        ([("image", ("a", PNG))], {"model": "m"}, 400, "prompt", "prompt is required"),
        ([("mask", ("a", PNG))], FIELDS, 400, "image", "image is required"),
        ([("image", ("a", PNG))], {**FIELDS, "n": "two"}, 400, "n", "n: expected `int"),
        ([("image", ("a", PNG))], {**FIELDS, "n": "0"}, 400, "n", "n: expected `int` >= 1"),
        ([("image", ("a", PNG))], {**FIELDS, "model": "other"}, 404, "model", "does not exist"),
        ([("image", ("a", PNG))], {**FIELDS, "stream": "true"}, 400, "stream", "can't be streamed"),
        ([("image", ("a", PNG)), ("prompt", ("b", b"c"))], {"model": "m"}, 400, "prompt", "prompt must be a text"),
        ([("image", (None, "data:image/png;base64,AA"))], FIELDS, 400, "image", "image must be a file, with a filename"),
        ([("image", ("a", PNG)), ("prompt", (None, b"\xff"))], {"model": "m"}, 400, "prompt", "prompt is not UTF-8"),
        (
            [("image", ("a", PNG)), ("size", (None, "1")), ("size", (None, "2"))],
            FIELDS,
            400,
            "size",
            "size: expected `str | null`, got `array`",
        ),
        ([("image", (str(number), b"x")) for number in range(17)], FIELDS, 400, "image", "length <= 16"),
        ([("image", (str(number), b"x")) for number in range(70)], FIELDS, 400, None, "more than 64 parts"),
    ],
)
async def test_a_wrong_form(
    files: Any, fields: Any, status: int, param: str | None, words: str, ask: Ask, editor: Editor
) -> None:
    answer = await ask(create_app({"m": editor}), **form(files, fields))
    assert (answer.status, answer.error()["param"]) == (status, param)
    assert words in answer.error()["message"]
    assert editor.asked == {}


async def test_what_is_no_form(ask: Ask, editor: Editor) -> None:
    app, good = create_app({"m": editor}), form([("image", ("a", PNG))])
    as_json = await ask(app, {"model": "m"}, PATH, headers={"content-type": "application/json"})
    assert (as_json.status, as_json.error()["code"]) == (415, "unsupported_media_type")
    cut = await ask(app, **{**good, "body": good["body"][:-10]})
    assert (cut.status, cut.error()["message"]) == (400, "the body is not a form: its last boundary is missing")
    other = await ask(app, **{**good, "body": b"{}"})
    assert (other.status, other.error()["code"]) == (400, "invalid_form")
    long = await ask(create_app({"m": editor}, max_body=500), **good)
    assert (long.status, long.error()["code"]) == (413, "request_too_large")
    nameless = good["body"].replace(b'name="prompt"', b"")
    answer = await ask(app, **{**good, "body": nameless, "headers": {**good["headers"], "content-length": str(len(nameless))}})
    assert (answer.status, answer.error()["code"]) == (400, "invalid_form")
    assert editor.asked == {}


async def test_a_client_that_leaves_within_its_form(visit: VisitApp, editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[forms.Upload] = []
    init = forms.Upload.__init__

    def remembered(self: forms.Upload, *args: Any) -> None:
        init(self, *args)
        opened.append(self)

    monkeypatch.setattr(forms.Upload, "__init__", remembered)
    sent = form([("image", ("a", PNG))])
    messages = [
        {"type": "http.request", "body": sent["body"][:400], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("there is nobody to answer")

    headers = [(name.encode(), value.encode()) for name, value in sent["headers"].items()]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
    await create_app({"m": editor})(scope, receive, send)
    assert [file.closed for file in opened] == [True]


async def test_a_handler_that_edits_nothing(ask: Ask) -> None:
    async def chats(messages: Any, **_: Any) -> str:
        return "Hello"

    answer = await ask(create_app({"m": chats}), **form([("image", ("a", PNG))]))
    assert answer.status == 501
    assert answer.error()["message"].endswith("edits no images: it has no method aimage_edit or image_edit")
    for path, body in (("embeddings", {"input": "Hi"}), ("images/generations", {"prompt": "Hi"})):
        answer = await ask(create_app({"m": chats}), {"model": "m", **body}, f"/v1/{path}")
        assert (answer.status, answer.error()["code"]) == (501, "not_supported")


async def test_a_gateway_sends_the_form_on(ask: Ask) -> None:
    with Endpoint(Reply(json={"created": 1, "data": [{"b64_json": "AA=="}], "usage": {"total_tokens": 3}})) as endpoint:
        model = {"model": "openai/gpt-image", "api_base": endpoint.url, "api_key": "k"}
        answer = await ask(
            create_app({"m": model}), **form([("image", ("a.png", PNG)), ("image", ("b.jpg", b"\xff\xd8\xffx"))])
        )
        received = endpoint.requests[0]
    assert answer.json() == {"created": 1, "data": [{"b64_json": "AA=="}], "usage": {"total_tokens": 3}}
    assert received.path == PATH
    assert received.body.count(b'name="image[]"; filename="') == 2
    assert b'filename="a.png"\r\ncontent-type: image/png\r\n\r\n' + PNG in received.body
    assert b'filename="b.jpg"\r\ncontent-type: image/jpeg\r\n\r\n' in received.body
    assert b'name="prompt"\r\n\r\nA hat\r\n' in received.body
    assert b'name="model"\r\n\r\ngpt-image\r\n' in received.body


async def test_openais_own_client(served: Served, editor: Editor) -> None:
    async with served(create_app({"m": editor})) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
            one = await client.images.edit(model="m", image=BytesIO(PNG), prompt="A hat", n=2, mask=("m.png", b"m"))
            assert [data for _, data, _ in editor.read] == [PNG, b"m"]
            assert editor.asked["optional_params"]["n"] == 2
            two = await client.images.edit(model="m", image=[("a.png", PNG), ("b.png", b"b")], prompt="A hat")
    assert [data for _, data, _ in editor.read] == [PNG, b"b"]
    assert one.data is not None
    assert two.data is not None
    assert one.data[0].url == two.data[0].url == "https://example.com/edited.png"


async def test_ours_to_ours(served: Served, editor: Editor) -> None:
    async with served(create_app({"m": editor})) as url:
        keywords: dict[str, Any] = {"prompt": "A hat", "model": "openai/m", "api_base": url}
        response = await tokenwire.aimage_edit(BytesIO(PNG), mask=b"m", background="transparent", **keywords)
    assert response.data[0].url == "https://example.com/edited.png"
    assert [(name, data) for name, data, _ in editor.read] == [("image.png", PNG), ("mask.bin", b"m")]
    assert editor.asked["optional_params"]["background"] == "transparent"
