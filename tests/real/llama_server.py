"""llama.cpp's OpenAI-compatible server with a small model, in a process of its own: `python llama_server.py MODEL.gguf`.

It takes a free port of the loopback address, prints the address once the model is loaded, and ends when its standard
input does: it can't outlive whoever started it.

`python llama_server.py MODEL.gguf KEY` starts it with what a bare server lacks: embeddings, a chat template that knows
tools, and an API key to ask for.
"""
# pyright: reportAttributeAccessIssue=false

import sys

import xllamacpp

# A tool call stands between two of the model's special tokens, so that one token's bias is enough to make it call.
TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\\n' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {{- message.content or '' }}
    {%- for call in message.tool_calls or [] %}
        {{- '<jupyter_code>{"name": "' + call.function.name + '", "arguments": ' }}
        {{- call.function.arguments | tojson }}
        {{- '}<jupyter_output>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def main(model_path: str, key: str | None = None) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model_path
    params.model_alias = {"smollm2"}
    params.port = 0
    params.n_parallel = 4
    params.n_ctx = 4 * 512
    params.cpuparams.n_threads = 1  # two, on two cores that others use too, wait for each other: four times slower
    params.cache_ram_mib = 0
    params.endpoint_slots = True
    params.verbosity = 0
    if key is not None:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.chat_template = TEMPLATE
        params.api_keys = [key]
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201  (that is how its starter learns it)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
