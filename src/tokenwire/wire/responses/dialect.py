"""The Responses API as a dialect of endpoints."""

from ..dialect import Dialect
from .answers import answer_of
from .reading import ResponseDecoder
from .request import UNSUPPORTED, responses_body

RESPONSES = Dialect(
    name="responses",
    content="input",
    path="/responses",
    tokens_path="/responses/input_tokens",
    body=responses_body,
    answer=answer_of,
    decoder=ResponseDecoder,
    unsupported=UNSUPPORTED,
)
