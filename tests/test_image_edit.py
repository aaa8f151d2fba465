"""`aimage_edit` and `image_edit`: which files are taken, what is sent of them, and what a handler gets."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tokenwire
from tokenwire import BadRequestError, CustomLLM
from tokenwire._calls import routing
from tokenwire.testing import Endpoint, Reply

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PNG = b"\x89PNG\r\n\x1a\nrest"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(Reply(json={"data": [{"url": "here"}]})) as endpoint:
        yield endpoint


async def parts(endpoint: Endpoint, image: Any, **keywords: Any) -> list[tuple[str, bytes]]:
    """The heads and the bodies of the parts that were sent."""
    response = await tokenwire.aimage_edit(image, prompt="A hat", model="openai/m", api_base=endpoint.url, **keywords)
    assert response.data[0].url == "here"
    request = endpoint.requests[-1]
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert (request.path, kind) == ("/v1/images/edits", "multipart/form-data")
    first, *pieces, last = request.body.split(f"--{boundary}".encode())
    assert (first, last) == (b"", b"--\r\n")
    split = [piece.removeprefix(b"\r\n").removesuffix(b"\r\n").split(b"\r\n\r\n", 1) for piece in pieces]
    prefix = "content-disposition: form-data; "
    return [(head.decode().removeprefix(prefix).replace("\r\n", " | "), body) for head, body in split]


async def test_every_kind_of_file(endpoint: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    named = ('name="image"; filename="photo.png" | content-type: image/png', PNG)
    with path.open("rb") as file:
        file.seek(8)
        assert (await parts(endpoint, file))[-1] == (
            'name="image"; filename="photo.png" | content-type: application/octet-stream',
            b"rest",
        )
        assert file.tell() == 8
    assert (await parts(endpoint, path))[-1] == named
    assert (await parts(endpoint, PNG))[-1] == ('name="image"; filename="image.png" | content-type: image/png', PNG)
    assert (await parts(endpoint, io.BytesIO(PNG)))[-1][1] == PNG
    assert (await parts(endpoint, ('a"b.gif', PNG, "image/x")))[-1][0] == (
        'name="image"; filename="a%22b.gif" | content-type: image/x'
    )
    assert (await parts(endpoint, (None, path)))[-1] == named


async def test_several_files_and_fields(endpoint: Endpoint) -> None:
    sent = await parts(endpoint, [PNG, b"\xff\xd8\xff"], mask=b"m", n=2, user="\u00fc", extra_body={"own": {"a": [1, True]}})
    assert sorted(sent) == sorted(
        [
            ('name="model"', b"m"),
            ('name="prompt"', b"A hat"),
            ('name="image[]"; filename="image.png" | content-type: image/png', PNG),
            ('name="image[]"; filename="image.jpg" | content-type: image/jpeg', b"\xff\xd8\xff"),
            ('name="mask"; filename="mask.bin" | content-type: application/octet-stream', b"m"),
            ('name="n"', b"2"),
            ('name="user"', "\u00fc".encode()),
            ('name="own[a][]"', b"1"),
            ('name="own[a][]"', b"true"),
        ]
    )


@pytest.mark.parametrize(
    "image, words",
    [
        ("photo.png", r"image\[0\] must be bytes, an open binary file, a pathlib.Path"),
        ([], "image must be a file, or a list of some"),
        ([PNG, 5], r"image\[1\] must be bytes"),
        (None, r"image\[0\] must be bytes"),
        (b"", "image is empty"),
        (io.StringIO("text"), "image must be .*: it was opened as text"),
        (Path("nowhere.png"), "image can't be read: .*No such file"),
    ],
)
async def test_what_is_no_file(image: Any, words: str, endpoint: Endpoint) -> None:
    with pytest.raises(BadRequestError, match=words) as refusal:
        await tokenwire.aimage_edit(image, prompt="A hat", model="openai/m", api_base=endpoint.url)
    assert refusal.value.param == "image"
    assert endpoint.requests == []


class Watched(io.BytesIO):
    """Knows in which threads it was read."""

    def __init__(self, data: bytes, *, seekable: bool = True) -> None:
        super().__init__(data)
        self.readers: set[int] = set()
        self._seekable = seekable

    def seekable(self) -> bool:
        return self._seekable

    def read(self, size: int | None = -1) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)


async def test_nobody_waits_while_a_large_file_is_read(endpoint: Endpoint) -> None:
    small, large, endless = Watched(PNG), Watched(PNG + bytes(2 * 1024 * 1024)), Watched(PNG, seekable=False)
    large.seek(len(PNG))
    assert (await parts(endpoint, small))[-1][1] == PNG
    assert (await parts(endpoint, large))[-1][1] == bytes(2 * 1024 * 1024)
    assert (await parts(endpoint, endless))[-1][1] == PNG
    assert large.tell() == len(PNG)
    here = {threading.get_ident()}
    assert small.readers == here
    assert large.readers.isdisjoint(here)
    assert endless.readers.isdisjoint(here)  # it may be a pipe


async def test_a_file_that_can_be_read_once_is_read_once(endpoint: Endpoint) -> None:
    with Endpoint([Reply(status=500), Reply(json={"data": []})]) as twice:
        policy = tokenwire.RetryPolicy(base_delay=0)
        file = Watched(PNG, seekable=False)
        await tokenwire.aimage_edit(file, prompt="A hat", model="openai/m", api_base=twice.url, retry_policy=policy)
        assert [PNG in request.body for request in twice.requests] == [True, True]


async def test_a_retry_sends_the_file_again(endpoint: Endpoint) -> None:
    with Endpoint([Reply(status=500), Reply(json={"data": []})]) as twice:
        policy = tokenwire.RetryPolicy(base_delay=0)
        await tokenwire.aimage_edit(
            io.BytesIO(PNG), prompt="A hat", model="openai/m", api_base=twice.url, retry_policy=policy, fallbacks=["openai/n"]
        )
        assert [PNG in request.body for request in twice.requests] == [True, True]


async def test_a_handler_gets_the_files_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_registered", {})
    asked: dict[str, Any] = {}

    class Editor(CustomLLM):
        def image_edit(self, *args: Any, **kwargs: Any) -> Any:
            asked.update(kwargs)
            return {"data": [{"url": kwargs["prompt"]}]}

    tokenwire.register("mine", Editor())
    file = io.BytesIO(PNG)
    response = await tokenwire.aimage_edit(file, prompt="A hat", model="mine/m", size="1x1", mask=b"m")
    assert response.data[0].url == "A hat"
    assert (asked["image"], asked["model"]) == ([file], "m")
    assert asked["optional_params"] == {"size": "1x1", "mask": b"m"}
    mocked = await tokenwire.aimage_edit(file, prompt="A hat", model="mine/m", mock_response=[{"url": "mock"}])
    assert mocked.data[0].url == "mock"


async def test_an_api_without_images() -> None:
    with pytest.raises(BadRequestError, match='"anthropic/" has edits of images at no endpoint of its API'):
        await tokenwire.aimage_edit(PNG, prompt="A hat", model="anthropic/m", api_key="k")


def test_from_sync_code(anyio_backend: str, endpoint: Endpoint) -> None:
    assert tokenwire.image_edit(PNG, prompt="A hat", model="openai/m", api_base=endpoint.url).data[0].url == "here"
