"""`tokenwire chat`: one reply, or a conversation.

Prompts are read in blocking code, where Ctrl-C ends `input`. A reply is a coroutine on an event loop that lives on between
replies, as its connections do; Ctrl-C cancels only the coroutine. `asyncio.Runner` does exactly that.
"""

import argparse
import asyncio  # noqa: TID251  (see above; anyio.run would end its loop, and the connections, with every reply)
import re
import sys
from importlib import import_module
from typing import Any

from tokenwire import AsyncClient, ModelResponse
from tokenwire.exceptions import APIError, BadRequestError, TokenwireError

from . import FAILED
from ._attachments import image_part
from ._call import call_of, in_options, report
from ._output import JSONOutput, Output, TextOutput
from ._terminal import UsageError, complain, is_terminal, remark

# The finish reasons that are worth a remark.
ENDINGS = {"length": "the reply has reached its length limit", "content_filter": "a content filter stopped the reply"}

HELP = """\
/attach IMAGE  send an image with the next message
/new           start a new conversation; --system stays
/help          show this
exit           leave, as Ctrl-D does; Ctrl-C stops a reply"""
LEAVING = ("exit", "quit", "/exit", "/quit", "/bye")
COMMAND = re.compile(r"/[a-z?]+(?= |$)")  # "/usr/bin/python is ..." is a message


def chat(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        UsageError: an argument is wrong; nothing was sent.
        KeyboardInterrupt: Ctrl-C ended the reply to a single prompt.
        OSError: the reply can't be written.
    """
    conversation = Conversation(call_of(arguments), system=arguments.system, output=_output(arguments))
    try:
        conversation.check()
        for path in arguments.attach:
            conversation.attach(path)
        prompt = _prompt(arguments)
        with asyncio.Runner() as runner:
            try:
                return _answer(runner, conversation, prompt) if prompt else _converse(runner, conversation)
            finally:
                runner.run(conversation.aclose())
    except TokenwireError as error:
        conversation.report(error)
        return FAILED


class Conversation:
    """Keeps the messages so far, and makes the next reply.

    Args:
        call: the keywords of every call.
        system: instructions for the model.
        output: where replies are shown.
    """

    def __init__(self, call: dict[str, Any], *, system: str | None, output: Output) -> None:
        self._client = AsyncClient()
        self._call = call
        self._output = output
        self._beginning: list[dict[str, Any]] = [{"role": "system", "content": _clean(system)}] if system else []
        self._images: list[dict[str, Any]] = []  # for the next message
        self.messages = self._beginning

    def attach(self, path: str) -> None:
        """Send an image with the next message.

        Raises:
            UsageError: it can't be read, or is not an image.
        """
        self._images.append(image_part(path))

    def forget(self) -> None:
        """Start a new conversation."""
        self.messages, self._images = self._beginning, []

    def check(self) -> None:
        """Find mistakes in the arguments before anybody types a prompt.

        Raises:
            UsageError: an argument is wrong.
            AuthenticationError: there is no key, and one is needed.
        """
        try:
            messages = [*self.messages, {"role": "user", "content": ""}]
            self._client.astreaming(messages=messages, **self._call)  # it sends nothing before it is iterated
        except BadRequestError as error:
            raise UsageError(in_options(error.message)) from None
        except APIError as error:
            error.message = in_options(error.message)
            raise

    async def reply(self, prompt: str) -> None:
        """Show the reply to a prompt as it comes. However it ends, what has arrived of it stays in the conversation.

        Raises:
            APIError: the call failed.
        """
        content = [{"type": "text", "text": prompt}, *self._images] if self._images else prompt
        messages = [*self.messages, {"role": "user", "content": content}]
        async with await self._client.acompletion(messages=messages, stream=True, **self._call) as stream:
            try:
                async for chunk in stream:
                    self._output.write(chunk)
            finally:
                if text := _content(stream.response):
                    self.messages, self._images = [*messages, {"role": "assistant", "content": text}], []
                self._output.end()
        if ending := _ending(stream.response):
            remark(ending)

    def report(self, error: TokenwireError) -> None:
        """Print what went wrong, without the key."""
        report(error, self._call)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _output(arguments: argparse.Namespace) -> Output:
    if arguments.json:
        return JSONOutput(sys.stdout)
    if arguments.markdown and is_terminal(sys.stdout):
        try:
            from ._markdown import MarkdownOutput
        except ImportError:
            raise UsageError("--markdown needs rich: pip install 'tokenwire[cli]'") from None
        return MarkdownOutput(sys.stdout)
    return TextOutput(sys.stdout)


def _prompt(arguments: argparse.Namespace) -> str | None:
    """The prompt; None for a conversation.

    Raises:
        UsageError: there is no prompt, and no terminal to type one.
    """
    words = " ".join(arguments.prompt)
    if is_terminal(sys.stdin) and not arguments.prompt:
        return None
    piped = "" if is_terminal(sys.stdin) or sys.stdin is None else sys.stdin.read()
    prompt = "\n\n".join(part for part in (words, piped.rstrip("\n")) if part.strip())
    if not prompt:
        raise UsageError("there is nothing to ask: give a PROMPT, or pipe one in")
    return _clean(prompt)


def _clean(text: str) -> str:
    """The text with U+FFFD for what is not Unicode: bytes on the command line that Python could not decode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _content(response: object) -> str:
    if not isinstance(response, ModelResponse) or not response.choices:
        return ""
    return response.choices[0].message.content or ""


def _ending(response: object) -> str | None:
    """Why the reply is not complete; None if it is."""
    reason = response.choices[0].finish_reason if isinstance(response, ModelResponse) and response.choices else None
    if reason in ENDINGS:
        return ENDINGS[reason]
    return None if _content(response) else f"the reply is empty; finish reason: {reason}"


def _answer(runner: asyncio.Runner, conversation: Conversation, prompt: str) -> int:
    runner.run(conversation.reply(prompt))
    return 0


def _converse(runner: asyncio.Runner, conversation: Conversation) -> int:
    _prepare_editing()
    while (prompt := _ask()) is not None and prompt.strip() not in LEAVING:
        if not prompt.strip() or _command(conversation, prompt.rstrip()):
            continue
        try:
            runner.run(conversation.reply(_clean(prompt)))
        except KeyboardInterrupt:
            remark("stopped")
        except TokenwireError as error:
            conversation.report(error)
    return 0


def _command(conversation: Conversation, typed: str) -> bool:
    """Run what was typed, if it is a command. Returns whether it is one."""
    found = COMMAND.match(typed)
    if found is None:
        return False
    name, rest = found[0], typed[found.end() :].strip()
    if name == "/attach" and rest:
        try:
            conversation.attach(rest)
            remark("the image will be sent with the next message")
        except UsageError as error:
            complain(str(error))
    elif name == "/attach":
        complain("name a PNG, JPEG, GIF or WebP file: /attach IMAGE")
    elif name == "/new":
        conversation.forget()
        remark("this is a new conversation")
    elif name in ("/help", "/?"):
        print(HELP, file=sys.stderr)
    else:
        complain(f"there is no command {typed}; /help lists the commands, and a space before the / makes it a message")
    return True


def _prepare_editing() -> None:
    if is_terminal(sys.stdout):
        print("/help lists commands; Ctrl-C stops a reply, Ctrl-D leaves.")
    try:
        readline: object = import_module("readline")  # once it is loaded, `input` edits lines
    except ImportError:
        return  # Windows, whose console edits lines itself
    readline.parse_and_bind("set enable-bracketed-paste on")  # a pasted line break is text, and does not send the prompt


def _ask() -> str | None:
    """The next line that is typed; None if the user leaves."""
    try:
        if is_terminal(sys.stdout):
            return input("> ")
        print("> ", end="", file=sys.stderr, flush=True)  # standard output is not the terminal, and is for the replies only
        if line := sys.stdin.readline():
            return line.rstrip("\n")
        raise EOFError
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None
