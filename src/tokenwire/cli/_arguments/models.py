"""The arguments of `tokenwire models`."""

from .chat import MODEL_VARIABLE
from .parser import Commands, add_model, command_of, from_environment
from .values import seconds

DESCRIPTION = """\
List the models that an endpoint offers, one on each line.
"""

EXAMPLES = """\
examples:
  tokenwire models
  tokenwire models --api-base http://localhost:11434/v1
  tokenwire models -m anthropic/ --json

environment: the variables are those of `tokenwire chat`
"""


def add(commands: Commands) -> None:
    """Add the command."""
    models = command_of(commands, "models", words="list the models of an endpoint", description=DESCRIPTION, epilog=EXAMPLES)
    default = from_environment(MODEL_VARIABLE) or "openai/*"
    add_model(models, "the provider, such as openai/ (the default), or any of its models", default)
    models.add_argument("--timeout", metavar="SECONDS", type=seconds, help="the longest that the request may take")
    models.add_argument("--json", action="store_true", help="print each model as a line of JSON")
