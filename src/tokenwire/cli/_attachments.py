"""Images that are sent with a prompt."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from ._terminal import UsageError

# The first bytes of the image formats that models read.
BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_part(path: str) -> dict[str, Any]:
    """An image as a part of a message, in OpenAI's form: a data URL.

    Args:
        path: of a PNG, JPEG, GIF or WebP file.

    Raises:
        UsageError: it can't be read, or is another kind of file.
    """
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"can't attach {path}: {error.strerror}") from None
    kind = next((kind for beginning, kind in BEGINNINGS.items() if data.startswith(beginning)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise UsageError(f"can't attach {path}: it must be a PNG, JPEG, GIF or WebP image")
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{b64encode(data).decode()}"}}
