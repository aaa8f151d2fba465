"""Handlers and models as an OpenAI-compatible endpoint: `create_app` makes the ASGI app.

The app implements ASGI itself, without Starlette. All that it needs of a framework is a table of a dozen paths and a check of
the headers, about a hundred lines. In return, chunks go straight to the ASGI server's `send`, without a response object in
between; the status is not sent before the first chunk is known; and there is one dependency less. To combine it with a
framework, mount the app.
"""

from .app import create_app as create_app

__all__ = ["create_app"]
