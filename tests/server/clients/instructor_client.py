"""instructor as a client. Arguments: the server's base URL."""

import sys

import instructor
from openai import OpenAI
from pydantic import BaseModel


class Invoice(BaseModel):
    number: int
    text: str


class add(BaseModel):
    """Add two numbers."""

    a: int
    b: int


MESSAGES = [{"role": "user", "content": "Hi"}]
openai = OpenAI(base_url=sys.argv[1], api_key="sk-key", max_retries=0)
by_schema = instructor.from_openai(openai, mode=instructor.Mode.JSON_SCHEMA)
print("schema:", repr(by_schema.create(model="invoice", messages=MESSAGES, response_model=Invoice, max_retries=0)))
*_, last = by_schema.create_partial(model="invoice", messages=MESSAGES, response_model=Invoice, max_retries=0)
print("partial:", last.number, last.text)
by_tools = instructor.from_openai(openai, mode=instructor.Mode.TOOLS)
print("tools:", repr(by_tools.create(model="tools", messages=MESSAGES, response_model=add, max_retries=0)))
