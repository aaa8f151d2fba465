"""Handlers and models as an OpenAI-compatible endpoint: `create_app` makes the ASGI app.

The app speaks ASGI itself and is not made of Starlette's parts: what it needs of a framework is a table of a dozen paths and
one look at the headers, about a hundred lines. What it gains is `send` as the ASGI server has it, with nothing of a
response object's between a chunk and the socket, a status that is not sent before the first chunk is known, and one
dependency less. To combine it with a framework, mount the app.
"""

from .app import create_app as create_app

__all__ = ["create_app"]
