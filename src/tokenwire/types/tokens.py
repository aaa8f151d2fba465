"""What APIs answer that count a prompt's tokens."""

from ._response import Response


class TokenCount(Response):
    """How many tokens a prompt has for a model."""

    input_tokens: int = 0
