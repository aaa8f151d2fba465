"""The hosts whose own API is compatible with OpenAI's: a row each.

Addresses, variables and other names for parameters are those of LiteLLM 1.110.2 (`get_llm_provider_logic.py`, `main.py` and the
host's folder below `llms/`), so that an environment made for LiteLLM works here. Where LiteLLM uses another API of the host
(Ollama, Gemini) or requires an address that the host documents (LM Studio), the row follows the host's own pages on OpenAI
compatibility.
"""

from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from .providers import Provider, chat, endpoints

_MAX_TOKENS = (("max_completion_tokens", "max_tokens"),)  # for hosts that know only the older name


def _host(
    name: str,
    api_base: str,
    keys: str,
    bases: str = "",
    *,
    needs_key: bool = True,
    renames: tuple[tuple[str, str], ...] = (),
    json_mode: Literal["schema", "object"] = "schema",
    model_of: Callable[[str], str] | None = None,
    place_of: "Callable[[str, str, str, str | None], tuple[str, str | None]] | None" = None,
    header_variables: tuple[tuple[str, str], ...] = (),
) -> Provider:
    return Provider(
        name=name,
        backend=endpoints,
        dialect=chat,
        api_base=api_base,
        key_needed_at=(api_base or "https://") if needs_key else "",
        base_variables=tuple(bases.split()),
        key_variables=tuple(keys.split()),
        json_mode=json_mode,
        renames=renames,
        model_of=model_of,
        place_of=place_of,
        header_variables=header_variables,
    )


def _below_v1(base: str, _model: str, _path: str, version: str | None) -> tuple[str, str | None]:
    """The address with the version: callers write these hosts' addresses with and without it."""
    return (base if base.endswith("/v1") else f"{base}/v1"), version


_AZURE_V1 = frozenset({"v1", "latest", "preview"})


def _azure(base: str, model: str, path: str, version: str | None) -> tuple[str, str | None]:
    """Azure OpenAI's address: each deployment has its own, and the newer API, without versions, is at `/openai/v1`.

    Source: Microsoft's "Azure OpenAI in Azure AI Foundry Models REST API reference".
    """
    if base.endswith("/openai/v1"):
        return base, None
    resource = base.removesuffix("/openai")
    if path == "/responses" or version in _AZURE_V1:
        return f"{resource}/openai/v1", None
    if "/openai/deployments/" in base:
        return base, version
    if path == "/models":
        return f"{resource}/openai", version
    return f"{resource}/openai/deployments/{quote(model, safe='')}", version


def _fireworks_model(model: str) -> str:
    """Fireworks' full name for its own models, which callers may write without the prefix."""
    if model.startswith("accounts/") or "#" in model:
        return model
    return f"accounts/fireworks/{model}" if model.startswith(("models/", "routers/")) else f"accounts/fireworks/models/{model}"


def _hugging_face_model(model: str) -> str:
    """LiteLLM's users put the provider first; Hugging Face's router expects it last: "org/model:provider"."""
    parts = model.split("/")
    return f"{parts[1]}/{parts[2]}:{parts[0]}" if len(parts) == 3 else model


_ROWS = (
    # Hosts on the internet.
    _host("ai21_chat", "https://api.ai21.com/studio/v1", "AI21_API_KEY", "AI21_API_BASE"),
    _host("aiml", "https://api.aimlapi.com/v1", "AIML_API_KEY", "AIML_API_BASE"),
    _host("baseten", "https://inference.baseten.co/v1", "BASETEN_API_KEY", "BASETEN_API_BASE", renames=_MAX_TOKENS),
    _host("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "CEREBRAS_API_BASE"),
    _host("codestral", "https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY", "CODESTRAL_API_BASE", renames=_MAX_TOKENS),
    _host("cometapi", "https://api.cometapi.com/v1", "COMETAPI_KEY COMETAPI_API_KEY", "COMETAPI_API_BASE"),
    _host("compactifai", "https://api.compactif.ai/v1", "COMPACTIFAI_API_KEY"),
    _host("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", "DASHSCOPE_API_BASE"),
    _host("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", "DEEPINFRA_API_BASE", renames=_MAX_TOKENS),
    _host(
        "deepseek",
        "https://api.deepseek.com/beta",  # /beta also has prefix completion and strict tools
        "DEEPSEEK_API_KEY",
        "DEEPSEEK_API_BASE",
        renames=_MAX_TOKENS,
        json_mode="object",
    ),
    _host(
        "featherless_ai",
        "https://api.featherless.ai/v1",
        "FEATHERLESS_AI_API_KEY FEATHERLESS_API_KEY",
        "FEATHERLESS_AI_API_BASE FEATHERLESS_API_BASE",
        renames=_MAX_TOKENS,
    ),
    _host(
        "fireworks_ai",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY FIREWORKS_AI_API_KEY FIREWORKSAI_API_KEY FIREWORKS_AI_TOKEN",
        "FIREWORKS_API_BASE",
        model_of=_fireworks_model,
    ),
    _host("friendliai", "https://api.friendli.ai/serverless/v1", "FRIENDLIAI_API_KEY FRIENDLI_TOKEN", "FRIENDLI_API_BASE"),
    _host("galadriel", "https://api.galadriel.com/v1", "GALADRIEL_API_KEY", "GALADRIEL_API_BASE"),
    _host("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY GOOGLE_API_KEY"),
    _host("github", "https://models.inference.ai.azure.com", "GITHUB_API_KEY", "GITHUB_API_BASE"),
    _host("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "GROQ_API_BASE"),
    _host(
        "huggingface",
        "https://router.huggingface.co/v1",
        "HUGGINGFACE_API_KEY HF_TOKEN",
        "HF_API_BASE HUGGINGFACE_API_BASE",
        model_of=_hugging_face_model,
        place_of=_below_v1,
    ),
    _host("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY", "HYPERBOLIC_API_BASE"),
    _host("inception", "https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY", "INCEPTION_API_BASE"),
    _host("lambda_ai", "https://api.lambda.ai/v1", "LAMBDA_API_KEY", "LAMBDA_API_BASE"),
    _host("meta_llama", "https://api.llama.com/compat/v1", "LLAMA_API_KEY", "LLAMA_API_BASE"),
    _host("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY", "MINIMAX_API_BASE"),
    _host(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "MISTRAL_API_BASE",
        renames=(*_MAX_TOKENS, ("seed", "random_seed")),
        place_of=_below_v1,
    ),
    _host("modelscope", "https://api-inference.modelscope.cn/v1", "MODELSCOPE_API_KEY", "MODELSCOPE_API_BASE"),
    _host("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", "MOONSHOT_API_BASE", renames=_MAX_TOKENS),
    _host("morph", "https://api.morphllm.com/v1", "MORPH_API_KEY", "MORPH_API_BASE"),
    _host("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY", "NEBIUS_API_BASE"),
    _host("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY", "NOVITA_API_BASE"),
    _host("nscale", "https://inference.api.nscale.com/v1", "NSCALE_API_KEY", "NSCALE_API_BASE"),
    _host(
        "nvidia_nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY", "NVIDIA_NIM_API_BASE", renames=_MAX_TOKENS
    ),
    _host(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY OR_API_KEY",
        "OPENROUTER_API_BASE",
        header_variables=(("http-referer", "OR_SITE_URL"), ("x-title", "OR_APP_NAME")),
    ),
    _host("ovhcloud", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "OVHCLOUD_API_KEY", "OVHCLOUD_API_BASE"),
    _host("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY PERPLEXITY_API_KEY", "PERPLEXITY_API_BASE"),
    _host("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", "SAMBANOVA_API_BASE"),
    _host("tencent", "https://tokenhub-intl.tencentcloudmaas.com/v1", "TENCENT_API_KEY", "TENCENT_API_BASE"),
    _host(
        "together_ai",
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY TOGETHER_AI_API_KEY TOGETHERAI_API_KEY TOGETHER_AI_TOKEN",
        "TOGETHER_AI_API_BASE",
    ),
    _host("v0", "https://api.v0.dev/v1", "V0_API_KEY", "V0_API_BASE"),
    _host(
        "vercel_ai_gateway",
        "https://ai-gateway.vercel.sh/v1",
        "VERCEL_AI_GATEWAY_API_KEY VERCEL_OIDC_TOKEN",
        "VERCEL_AI_GATEWAY_API_BASE",
    ),
    _host("volcengine", "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY ARK_API_KEY", "VOLCENGINE_API_BASE"),
    _host("wandb", "https://api.inference.wandb.ai/v1", "WANDB_API_KEY", "WANDB_API_BASE"),
    _host("xai", "https://api.x.ai/v1", "XAI_API_KEY", "XAI_API_BASE"),
    _host("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", "ZAI_API_BASE", json_mode="object"),
    # Deployments with an address of the user's.
    Provider(
        name="azure",
        backend=endpoints,
        dialect=chat,
        key_needed_at="https://",
        base_variables=("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
        key_variables=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        key_header="api-key",
        place_of=_azure,
        api_version="2025-02-01-preview",
        version_variables=("AZURE_API_VERSION",),
    ),
    _host("databricks", "", "DATABRICKS_API_KEY DATABRICKS_TOKEN", "DATABRICKS_API_BASE", renames=_MAX_TOKENS),
    _host("hosted_vllm", "", "HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_BASE", needs_key=False),
    _host("litellm_proxy", "", "LITELLM_PROXY_API_KEY", "LITELLM_PROXY_API_BASE", needs_key=False),
    # Servers on the user's machine.
    _host(
        "docker_model_runner",
        "http://localhost:22088/engines/llama.cpp/v1",
        "DOCKER_MODEL_RUNNER_API_KEY",
        "DOCKER_MODEL_RUNNER_API_BASE",
        needs_key=False,
        place_of=_below_v1,
    ),
    _host("lemonade", "http://localhost:8000/api/v1", "LEMONADE_API_KEY", "LEMONADE_API_BASE", needs_key=False),
    _host("llamafile", "http://127.0.0.1:8080/v1", "LLAMAFILE_API_KEY", "LLAMAFILE_API_BASE", needs_key=False),
    _host("lm_studio", "http://localhost:1234/v1", "LM_STUDIO_API_KEY", "LM_STUDIO_API_BASE", needs_key=False),
    _host("ollama", "http://localhost:11434/v1", "OLLAMA_API_KEY", "OLLAMA_API_BASE", needs_key=False, place_of=_below_v1),
    _host("ollama_chat", "http://localhost:11434/v1", "OLLAMA_API_KEY", "OLLAMA_API_BASE", needs_key=False, place_of=_below_v1),
)
HOSTS: dict[str, Provider] = {row.name: row for row in _ROWS}


# Hosts whose own API nobody speaks here, by LiteLLM's names for them.
_ELSEWHERE = frozenset(
    """
    azure_ai bedrock bedrock_converse clarifai cloudflare cohere cohere_chat datarobot gigachat github_copilot nlp_cloud oci petals
    predibase replicate sagemaker snowflake triton vertex_ai vertex_ai_beta watsonx
    """.split()
)
_BEDROCK = ("openai/", "https://bedrock-runtime.REGION.amazonaws.com/openai/v1", "a Bedrock API key")
_COHERE = ("openai/", "https://api.cohere.ai/compatibility/v1", "its key")
_VERTEX = (
    "openai/google/",
    "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION/endpoints/openapi",
    "an access token",
)
# How their models are called by the APIs in OpenAI's words that some of them have beside it, by their own pages on these: the
# model's prefix, the address, and what the key is.
_BY_OPENAIS_API = {
    "azure_ai": ("azure/", "https://RESOURCE.services.ai.azure.com", "its key"),
    "bedrock": _BEDROCK,
    "bedrock_converse": _BEDROCK,
    "cohere": _COHERE,
    "cohere_chat": _COHERE,
    "vertex_ai": _VERTEX,
    "vertex_ai_beta": _VERTEX,
}


def way_to(name: str, model: str) -> str | None:
    """A sentence that says how a model of a host is called whose own API nobody speaks here; None for other names."""
    if name not in _ELSEWHERE:
        return None
    if name not in _BY_OPENAIS_API:
        where = "the address of its OpenAI-compatible API in api_base=... and its key in api_key=..."
        return f'For {name}, call "openai/{model}" with {where}'
    prefix, address, key = _BY_OPENAIS_API[name]
    return f'For {name}, call "{prefix}{model}" with api_base="{address}" and {key} in api_key=...'
