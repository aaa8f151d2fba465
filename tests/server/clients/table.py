"""Clients that are not ours: what each needs, which script drives it, and what that prints of the handlers here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent

SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
import handlers, socket, uvicorn
from tokenwire.server import create_app
from tokenwire.server.protocol import HTTPProtocol
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
app = create_app(handlers.served(*sys.argv[2:]), api_keys=["sk-key"])
uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", http=HTTPProtocol)).run(sockets=[listener])
"""
THROUGH = {"chat": "openai/", "responses": "openai/responses/", "messages": "anthropic/"}
"""The dialects that a gateway can speak to an endpoint, and how its models are called then."""


@contextmanager
def served(*gateway: str) -> Iterator[str]:
    """The handlers, served by a process of its own: the address.

    Args:
        gateway: of `THROUGH` how its models are called, and the address of the endpoint behind it; none for the handlers.
    """
    command = [sys.executable, "-c", SERVE, str(HERE), *gateway]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def run(*command: object) -> str:
    """What a client's process prints; AssertionError where it fails."""
    # Not our own path: the client's environment is another one.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would be fetched
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Client(NamedTuple):
    """One client.

    Attributes:
        name: what it is called.
        packages: what pip installs for it, or npm where the script is JavaScript.
        module: what is there once it is installed: a module, or a package of npm.
        script: drives it; its arguments are the server's address and, for JavaScript, before it the folder of the packages.
        printed: what that prints.
    """

    name: str
    packages: tuple[str, ...]
    module: str
    script: str
    printed: str

    @property
    def is_python(self) -> bool:
        """Whether it is not JavaScript."""
        return self.script.endswith(".py")


LITELLM = """\
whole: Once upon a time stop 5
streamed: Once upon a time assistant [5]
async: Once upon a time
tools: tool_calls add {"a": 1, "b": 2}
embedding: [1.0, 0.5]
error: busy RateLimitError 429
error: nobody NotFoundError 404
broken: MidStreamFallbackError 500
"""

LANGCHAIN = """\
whole: Once upon a time stop 5
streamed: Once upon a time stop 5
async: Once upon a time
tools: add {'a': 1, 'b': 2}
tools streamed: add {'a': 1, 'b': 2}
embedding: [1.0, 0.5]
error: busy OpenAIRateLimitError 429
error: nobody OpenAIModelNotFoundError 404
broken: APIError 503
"""

ANTHROPIC = """\
whole: Once upon a time end_turn 2+3
streamed: Once upon a time end_turn 2+3
async: Once upon a time
tools: add {'a': 1, 'b': 2} tool_use 2+3
tools streamed: add {'a': 1, 'b': 2} tool_use 2+3
result: Once upon a time end_turn 2+3
a turn: add {'a': 1, 'b': 2} tool_use 2+3 | It is 3. end_turn 2+3
tokens: 1
models: words tools adder agent busy broken vectors invoice scores pictures counts
error: tokens HTTPNotImplementedError 501
error: busy RateLimitError 429 rate_limit_error True
error: nobody NotFoundError 404 not_found_error True
broken: Once error
"""

AI_SDK = """\
whole: Once upon a time stop 5
streamed: Once upon a time stop 5
tools: add {"a":1,"b":2}
tools streamed: add {"a":1,"b":2}
embedding: [1,0.5]
error: busy AI_APICallError 429
error: nobody AI_APICallError 404
broken: Once then the model is gone
"""

LM_EVAL = """\
completions, loglikelihood: -5.0 True -1.0 True
completions, generate: ['Once upon a time']
chat, generate: ['Once upon a time']
"""

INSPECT = """\
whole: Once upon a time stop 5
tools: add {'a': 1, 'b': 2}
error: NotFoundError
"""

PYDANTIC_AI = """\
OpenAIChatModel, whole: Once upon a time 5
OpenAIChatModel, streamed: Once upon a time
OpenAIChatModel, tool: It is 3. | It is 3.
OpenAIChatModel, typed: Invoice(number=7, text='tea')
OpenAIResponsesModel, whole: Once upon a time 5
OpenAIResponsesModel, streamed: Once upon a time
OpenAIResponsesModel, tool: It is 3. | It is 3.
OpenAIResponsesModel, typed: Invoice(number=7, text='tea')
AnthropicModel, whole: Once upon a time 5
AnthropicModel, streamed: Once upon a time
AnthropicModel, tool: It is 3. | It is 3.
error: ModelNotFoundError 404
"""

INSTRUCTOR = """\
schema: Invoice(number=7, text='tea')
partial: 7 tea
tools: add(a=1, b=2)
"""

AGENTS = """\
whole: Once upon a time
streamed: Once upon a time | Once upon a time
OpenAIResponsesModel, tool: It is 3. | It is 3.
OpenAIChatCompletionsModel, tool: It is 3. | It is 3.
error: NotFoundError 404
"""

OPENAI = """\
whole: Once upon a time completed 5
streamed: Once upon a time completed
tools streamed: add {"a": 1, "b": 2}
result: Once upon a time
chat streamed: Once upon a time
tokens: 1
images: Both 2
error: busy RateLimitError 429
error: nobody NotFoundError 404
error: tokens InternalServerError 501
broken: response.output_text.delta response.failed
"""

ANY_LLM = """\
whole: Once upon a time 5
streamed: Once upon a time
responses: Once upon a time completed
by messages: Once upon a time stop
messages: Once upon a time
tool, openai: add {'a': 1, 'b': 2} | It is 3.
tool, openai, streamed: add {'a': 1, 'b': 2}
tool, anthropic: add {'a': 1, 'b': 2} | It is 3.
tool, anthropic, streamed: add {'a': 1, 'b': 2}
"""

OPENAI_NPM = """\
whole: Once upon a time stop 5
streamed: Once upon a time
responses: Once upon a time completed
error: busy RateLimitError 429
error: nobody NotFoundError 404
broken: Once APIError
"""

MEASURED = """\
requests: 4 errors: 0
tokens: 3.0
first token: True
"""

AGENT = """\
said: Let me see.
ran: is 42
said: It is 42.
tokens: 4 6
"""

CLIENTS = (
    Client("litellm", ("litellm", "mcp"), "litellm", "litellm_client.py", LITELLM),
    Client("langchain", ("langchain-openai",), "langchain_openai", "langchain_client.py", LANGCHAIN),
    Client("anthropic", ("anthropic",), "anthropic", "anthropic_client.py", ANTHROPIC),
    Client("lm-eval", ("lm-eval[api]",), "lm_eval", "lm_eval_client.py", LM_EVAL),
    Client("inspect-ai", ("inspect-ai", "openai"), "inspect_ai", "inspect_client.py", INSPECT),
    Client("pydantic-ai", ("pydantic-ai-slim[openai,anthropic]",), "pydantic_ai", "pydantic_ai_client.py", PYDANTIC_AI),
    Client("instructor", ("instructor",), "instructor", "instructor_client.py", INSTRUCTOR),
    Client("openai", ("openai",), "openai", "openai_client.py", OPENAI),
    Client("any-llm", ("any-llm-sdk", "openai", "anthropic"), "any_llm", "any_llm_client.py", ANY_LLM),
    Client("openai-agents", ("openai-agents",), "agents", "agents_client.py", AGENTS),
    Client("aiperf", ("aiperf",), "aiperf", "aiperf_client.py", MEASURED),
    Client("guidellm", ("guidellm",), "guidellm", "guidellm_client.py", MEASURED),
    Client("Codex CLI", ("@openai/codex",), "@openai/codex", "codex_client.mjs", AGENT),
    Client("Claude Code", ("@anthropic-ai/claude-code",), "@anthropic-ai/claude-code", "claude_code_client.mjs", AGENT),
    Client("openai (npm)", ("openai",), "openai", "openai_client.mjs", OPENAI_NPM),
    Client("AI SDK", ("ai", "@ai-sdk/openai-compatible"), "@ai-sdk/openai-compatible", "ai_sdk_client.mjs", AI_SDK),
)
