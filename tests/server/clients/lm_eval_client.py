"""EleutherAI's lm-evaluation-harness as a client. Arguments: the server's base URL."""

import os
import sys

os.environ["OPENAI_API_KEY"] = "sk-key"

import tiktoken
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

# A tokenizer whose tokens are bytes, in place of one that would be fetched.
BYTES = tiktoken.Encoding(
    "bytes",
    pat_str=r"(?s:.)",
    mergeable_ranks={bytes([byte]): byte for byte in range(256)},
    special_tokens={"<|endoftext|>": 256},
)
tiktoken.encoding_for_model = lambda _: BYTES


def completions(model: str, *, tokens: bool = True) -> LocalCompletionsAPI:
    return LocalCompletionsAPI(
        model=model,
        base_url=f"{base}/completions",
        tokenizer_backend="tiktoken",
        tokenized_requests=tokens,
        max_retries=1,
    )


def asked(kind: str, *arguments: object) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


base = sys.argv[1]
found = completions("scores").loglikelihood([asked("loglikelihood", "ab", "cd"), asked("loglikelihood", "a", "b")])
print("completions, loglikelihood:", *(f"{score} {greedy}" for score, greedy in found))
limits = {"until": ["\n"], "max_gen_toks": 8}
print("completions, generate:", completions("words", tokens=False).generate_until([asked("generate_until", "Hi", limits)]))
chat = LocalChatCompletion(model="words", base_url=f"{base}/chat/completions", max_retries=1)
turns = chat.apply_chat_template([{"role": "user", "content": "Hi"}])
print("chat, generate:", chat.generate_until([asked("generate_until", turns, limits)]))
