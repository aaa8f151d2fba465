"""The hosts that serve OpenAI's API as their own: where a call goes, as whom, and in which words."""

import json
from typing import Any

import httpx
import pytest

import tokenwire
from tokenwire import APIError, AuthenticationError, BadRequestError
from tokenwire._calls import routing
from tokenwire.server import create_app
from tokenwire.testing import Endpoint, Reply, completion

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"]),  # decided without a loop
]

MESSAGES = [{"role": "user", "content": "Hi"}]

# Provider, the address of a call, the variables of its key and of its address; by LiteLLM 1.110 and the hosts' own pages.
HOSTS = """
ai21_chat           https://api.ai21.com/studio/v1                            AI21_API_KEY               AI21_API_BASE
aiml                https://api.aimlapi.com/v1                                AIML_API_KEY               AIML_API_BASE
baseten             https://inference.baseten.co/v1                           BASETEN_API_KEY            BASETEN_API_BASE
cerebras            https://api.cerebras.ai/v1                                CEREBRAS_API_KEY           CEREBRAS_API_BASE
codestral           https://codestral.mistral.ai/v1                           CODESTRAL_API_KEY          CODESTRAL_API_BASE
cometapi            https://api.cometapi.com/v1                               COMETAPI_KEY               COMETAPI_API_BASE
compactifai         https://api.compactif.ai/v1                               COMPACTIFAI_API_KEY        -
dashscope           https://dashscope.aliyuncs.com/compatible-mode/v1         DASHSCOPE_API_KEY          DASHSCOPE_API_BASE
deepinfra           https://api.deepinfra.com/v1/openai                       DEEPINFRA_API_KEY          DEEPINFRA_API_BASE
deepseek            https://api.deepseek.com/beta                             DEEPSEEK_API_KEY           DEEPSEEK_API_BASE
featherless_ai      https://api.featherless.ai/v1                             FEATHERLESS_AI_API_KEY     FEATHERLESS_AI_API_BASE
fireworks_ai        https://api.fireworks.ai/inference/v1                     FIREWORKS_API_KEY          FIREWORKS_API_BASE
friendliai          https://api.friendli.ai/serverless/v1                     FRIENDLIAI_API_KEY         FRIENDLI_API_BASE
galadriel           https://api.galadriel.com/v1                              GALADRIEL_API_KEY          GALADRIEL_API_BASE
gemini              https://generativelanguage.googleapis.com/v1beta/openai   GEMINI_API_KEY             -
github              https://models.inference.ai.azure.com                     GITHUB_API_KEY             GITHUB_API_BASE
groq                https://api.groq.com/openai/v1                            GROQ_API_KEY               GROQ_API_BASE
huggingface         https://router.huggingface.co/v1                          HUGGINGFACE_API_KEY        HF_API_BASE
hyperbolic          https://api.hyperbolic.xyz/v1                             HYPERBOLIC_API_KEY         HYPERBOLIC_API_BASE
inception           https://api.inceptionlabs.ai/v1                           INCEPTION_API_KEY          INCEPTION_API_BASE
lambda_ai           https://api.lambda.ai/v1                                  LAMBDA_API_KEY             LAMBDA_API_BASE
meta_llama          https://api.llama.com/compat/v1                           LLAMA_API_KEY              LLAMA_API_BASE
minimax             https://api.minimax.io/v1                                 MINIMAX_API_KEY            MINIMAX_API_BASE
mistral             https://api.mistral.ai/v1                                 MISTRAL_API_KEY            MISTRAL_API_BASE
modelscope          https://api-inference.modelscope.cn/v1                    MODELSCOPE_API_KEY         MODELSCOPE_API_BASE
moonshot            https://api.moonshot.ai/v1                                MOONSHOT_API_KEY           MOONSHOT_API_BASE
morph               https://api.morphllm.com/v1                               MORPH_API_KEY              MORPH_API_BASE
nebius              https://api.studio.nebius.ai/v1                           NEBIUS_API_KEY             NEBIUS_API_BASE
novita              https://api.novita.ai/v3/openai                           NOVITA_API_KEY             NOVITA_API_BASE
nscale              https://inference.api.nscale.com/v1                       NSCALE_API_KEY             NSCALE_API_BASE
nvidia_nim          https://integrate.api.nvidia.com/v1                       NVIDIA_NIM_API_KEY         NVIDIA_NIM_API_BASE
openrouter          https://openrouter.ai/api/v1                              OPENROUTER_API_KEY         OPENROUTER_API_BASE
ovhcloud            https://oai.endpoints.kepler.ai.cloud.ovh.net/v1          OVHCLOUD_API_KEY           OVHCLOUD_API_BASE
perplexity          https://api.perplexity.ai                                 PERPLEXITYAI_API_KEY       PERPLEXITY_API_BASE
sambanova           https://api.sambanova.ai/v1                               SAMBANOVA_API_KEY          SAMBANOVA_API_BASE
tencent             https://tokenhub-intl.tencentcloudmaas.com/v1             TENCENT_API_KEY            TENCENT_API_BASE
together_ai         https://api.together.ai/v1                                TOGETHER_API_KEY           TOGETHER_AI_API_BASE
v0                  https://api.v0.dev/v1                                     V0_API_KEY                 V0_API_BASE
vercel_ai_gateway   https://ai-gateway.vercel.sh/v1                           VERCEL_AI_GATEWAY_API_KEY  VERCEL_AI_GATEWAY_API_BASE
volcengine          https://ark.cn-beijing.volces.com/api/v3                  VOLCENGINE_API_KEY         VOLCENGINE_API_BASE
wandb               https://api.inference.wandb.ai/v1                         WANDB_API_KEY              WANDB_API_BASE
xai                 https://api.x.ai/v1                                       XAI_API_KEY                XAI_API_BASE
zai                 https://api.z.ai/api/paas/v4                              ZAI_API_KEY                ZAI_API_BASE
docker_model_runner http://localhost:22088/engines/llama.cpp/v1               DOCKER_MODEL_RUNNER_API_KEY DOCKER_MODEL_RUNNER_API_BASE
lemonade            http://localhost:8000/api/v1                              LEMONADE_API_KEY           LEMONADE_API_BASE
llamafile           http://127.0.0.1:8080/v1                                  LLAMAFILE_API_KEY          LLAMAFILE_API_BASE
lm_studio           http://localhost:1234/v1                                  LM_STUDIO_API_KEY          LM_STUDIO_API_BASE
ollama              http://localhost:11434/v1                                 OLLAMA_API_KEY             OLLAMA_API_BASE
ollama_chat         http://localhost:11434/v1                                 OLLAMA_API_KEY             OLLAMA_API_BASE
databricks          -                                                         DATABRICKS_API_KEY         DATABRICKS_API_BASE
hosted_vllm         -                                                         HOSTED_VLLM_API_KEY        HOSTED_VLLM_API_BASE
litellm_proxy       -                                                         LITELLM_PROXY_API_KEY      LITELLM_PROXY_API_BASE
"""
ROWS = [line.split() for line in HOSTS.strip().splitlines()]
NEED_NO_KEY = frozenset("docker_model_runner lemonade llamafile lm_studio ollama ollama_chat hosted_vllm litellm_proxy".split())


async def sent(model: str, messages: Any = MESSAGES, **keywords: Any) -> httpx.Request:
    """The request of a call, which goes nowhere."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=completion("Hello"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        await tokenwire.acompletion(model, messages, client=client, **keywords)
    return requests[-1]


@pytest.mark.parametrize("name, address, key, base", ROWS, ids=[row[0] for row in ROWS])
async def test_a_host(name: str, address: str, key: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEED_NO_KEY and address != "-":
        assert "authorization" not in (await sent(f"{name}/org/m")).headers
    elif address != "-":
        with pytest.raises(AuthenticationError, match=key) as refusal:
            await sent(f"{name}/org/m")
        assert refusal.value.llm_provider == name
    else:
        with pytest.raises(BadRequestError, match=f"no default address: pass api_base=, or set {base}") as without_address:
            await sent(f"{name}/org/m")
        assert without_address.value.param == "api_base"
    monkeypatch.setenv(key, "secret")
    if address == "-":
        address = "https://own.example/v1"
        monkeypatch.setenv(base, address)
    request = await sent(f"{name}/org/m", temperature=0.5)
    assert (request.method, str(request.url)) == ("POST", f"{address}/chat/completions")
    assert request.headers["authorization"] == "Bearer secret"
    model = "accounts/fireworks/models/org/m" if name == "fireworks_ai" else "org/m"
    assert json.loads(request.content) == {"model": model, "messages": MESSAGES, "temperature": 0.5}
    if base != "-":
        monkeypatch.setenv(base, "https://elsewhere.example/v1")
        assert str((await sent(f"{name}/org/m")).url) == "https://elsewhere.example/v1/chat/completions"
    named = await sent(f"{name}/org/m", api_base="https://named.example/v1", api_key="other")
    assert (named.url.host, named.headers["authorization"]) == ("named.example", "Bearer other")


async def test_openais_key_and_address_are_for_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "openai's")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://openai.example/v1")
    monkeypatch.setenv("OPENAI_ORGANIZATION", "org")
    request = await sent("ollama/m")
    assert request.url.host == "localhost"
    assert request.headers.keys().isdisjoint({"authorization", "openai-organization"})
    with pytest.raises(AuthenticationError, match="GROQ_API_KEY"):
        await sent("groq/m")


@pytest.mark.parametrize("address", ["http://box:11434", "http://box:11434/", "http://box:11434/v1", "http://box:11434/v1/"])
async def test_an_address_with_and_without_the_version(address: str) -> None:
    assert str((await sent("ollama/m", api_base=address)).url) == "http://box:11434/v1/chat/completions"


@pytest.mark.parametrize(
    "model, given, expected",
    [
        ("mistral/m", {"seed": 5, "max_completion_tokens": 9}, {"random_seed": 5, "max_tokens": 9}),
        ("deepseek/m", {"max_completion_tokens": 9, "seed": 5}, {"max_tokens": 9, "seed": 5}),
        ("groq/m", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
    ],
)
async def test_a_hosts_own_names_for_parameters(model: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = json.loads((await sent(model, api_key="k", **given)).content)
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == expected


async def test_one_parameter_under_both_of_its_names() -> None:
    with pytest.raises(
        BadRequestError, match="max_completion_tokens and max_tokens are the same parameter for 'mistral'"
    ) as refusal:
        await sent("mistral/m", api_key="k", max_tokens=5, max_completion_tokens=6)
    assert refusal.value.param == "max_completion_tokens"


@pytest.mark.parametrize(
    "model, expected",
    [
        ("fireworks_ai/m", "accounts/fireworks/models/m"),
        ("fireworks_ai/routers/r", "accounts/fireworks/routers/r"),
        ("fireworks_ai/accounts/me/models/m", "accounts/me/models/m"),
        ("fireworks_ai/accounts/me/models/m#deployment", "accounts/me/models/m#deployment"),
        ("huggingface/org/m", "org/m"),
        ("huggingface/org/m:together", "org/m:together"),
        ("huggingface/together/org/m", "org/m:together"),
    ],
)
async def test_a_hosts_own_names_for_models(model: str, expected: str) -> None:
    assert json.loads((await sent(model, api_key="k")).content)["model"] == expected


async def test_openrouter_is_told_of_the_app_where_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await sent("openrouter/m", api_key="k")).headers.keys().isdisjoint({"http-referer", "x-title"})
    monkeypatch.setenv("OR_SITE_URL", "https://me.example")
    monkeypatch.setenv("OR_APP_NAME", "mine")
    headers = (await sent("openrouter/m", api_key="k", headers={"X-Title": "this call's"})).headers
    assert (headers["http-referer"], headers["x-title"]) == ("https://me.example", "this call's")


async def test_responses_of_a_host() -> None:
    """In the same spelling as OpenAI's, and at the host: not at OpenAI, with its key."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(500)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(APIError):
            await tokenwire.acompletion("groq/responses/m", MESSAGES, api_key="k", client=client, num_retries=0)
    assert str(requests[0].url) == "https://api.groq.com/openai/v1/responses"
    assert json.loads(requests[0].content)["model"] == "m"


# Azure.

RESOURCE = "https://res.openai.azure.com"
DEFAULT_VERSION = "2025-02-01-preview"
DEPLOYMENT = f"{RESOURCE}/openai/deployments/my%20gpt"


@pytest.mark.parametrize(
    "keywords, expected",
    [
        ({}, f"{DEPLOYMENT}/chat/completions?api-version={DEFAULT_VERSION}"),
        ({"api_version": "2024-10-21"}, f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"),
        ({"api_base": f"{RESOURCE}/"}, f"{DEPLOYMENT}/chat/completions?api-version={DEFAULT_VERSION}"),
        ({"api_base": f"{RESOURCE}/openai"}, f"{DEPLOYMENT}/chat/completions?api-version={DEFAULT_VERSION}"),
        ({"api_base": f"{RESOURCE}?api-version=1"}, f"{DEPLOYMENT}/chat/completions?api-version=1"),
        (
            {"api_base": f"{RESOURCE}/openai/deployments/d", "api_version": "1"},
            f"{RESOURCE}/openai/deployments/d/chat/completions?api-version=1",
        ),
        ({"api_base": f"{RESOURCE}/openai/v1"}, f"{RESOURCE}/openai/v1/chat/completions"),
        ({"api_version": "v1"}, f"{RESOURCE}/openai/v1/chat/completions"),
    ],
)
async def test_azures_addresses(keywords: dict[str, Any], expected: str) -> None:
    request = await sent("azure/my gpt", **{"api_base": RESOURCE, "api_key": "k", **keywords})
    assert str(request.url) == expected
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers
    assert json.loads(request.content)["model"] == "my gpt"


async def test_azures_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequestError, match="AZURE_API_BASE"):
        await sent("azure/d")
    monkeypatch.setenv("AZURE_API_BASE", RESOURCE)
    with pytest.raises(AuthenticationError, match="AZURE_API_KEY or AZURE_OPENAI_API_KEY"):
        await sent("azure/d")
    monkeypatch.setenv("AZURE_API_KEY", "k")
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    request = await sent("azure/d")
    assert str(request.url) == f"{RESOURCE}/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "k"
    by_token = await sent("azure/d", headers={"Authorization": "Bearer of Entra"})
    assert "api-key" not in by_token.headers


async def test_azure_over_real_sockets() -> None:
    with Endpoint(Reply(text="Hello")) as endpoint:
        stream = await tokenwire.acompletion(
            "azure/d", MESSAGES, api_base=endpoint.url.removesuffix("/v1"), api_key="k", api_version="1", stream=True
        )
        await stream.until_done()
        received = endpoint.requests[0]
    assert (received.path, received.query) == ("/openai/deployments/d/chat/completions", "api-version=1")
    assert stream.response is not None
    assert stream.response.text == "Hello"


# Those that users describe.

PRESET = {"base_url": "https://api.own.example/v1/", "api_key_env": "OWN_API_KEY"}


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_registered", {})


async def test_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenwire.register(
        "own", {**PRESET, "api_base_env": "OWN_API_BASE", "param_mappings": {"max_completion_tokens": "max_tokens"}}
    )
    with pytest.raises(AuthenticationError, match="OWN_API_KEY"):
        await sent("own/m")
    monkeypatch.setenv("OWN_API_KEY", "secret")
    request = await sent("own/org/m", max_completion_tokens=5)
    assert (str(request.url), request.headers["authorization"]) == (
        "https://api.own.example/v1/chat/completions",
        "Bearer secret",
    )
    assert json.loads(request.content) == {"model": "org/m", "messages": MESSAGES, "max_tokens": 5}
    monkeypatch.setenv("OWN_API_BASE", "https://elsewhere.example")
    assert str((await sent("m", custom_llm_provider="own")).url) == "https://elsewhere.example/chat/completions"


async def test_a_clients_own_preset() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"embedding": [1.0], "index": 0}], "url": str(request.url)})

    mock = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with mock, tokenwire.AsyncClient(handlers={"own": PRESET}, http_client=mock) as client:
        response = await client.aembedding("own/m", input="Hi", api_key="k")
    assert response.model_dump()["url"] == "https://api.own.example/v1/embeddings"


async def test_a_served_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every dialect, and known to the app alone."""
    with Endpoint(Reply(json=completion("Hello"))) as endpoint:
        preset = {"base_url": endpoint.url, "api_key_env": "OWN_API_KEY"}
        monkeypatch.setenv("OWN_API_KEY", "secret")
        app: Any = create_app({"m": "own/x"}, handlers={"own": preset})
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app/v1") as client:
            for path, body in (
                ("/chat/completions", {"messages": MESSAGES}),
                ("/messages", {"messages": MESSAGES, "max_tokens": 5}),
                ("/responses", {"input": "Hi"}),
            ):
                answer = await client.post(path, json={"model": "m", **body})
                assert answer.status_code == 200, answer.text
        assert [request.json()["model"] for request in endpoint.requests] == ["x"] * 3


@pytest.mark.parametrize(
    "preset, given, expected",
    [
        ({"constraints": {"temperature_max": 1.0}}, {"temperature": 1.5}, {"temperature": 1.0}),
        ({"constraints": {"temperature_max": 1.0}}, {"temperature": 0.5}, {"temperature": 0.5}),
        ({"constraints": {"temperature_min": 0.1}}, {"temperature": 0}, {"temperature": 0.1}),
        ({"constraints": {"temperature_min_with_n_gt_1": 0.3}}, {"temperature": 0, "n": 2}, {"temperature": 0.3, "n": 2}),
        ({"constraints": {"temperature_min_with_n_gt_1": 0.3}}, {"temperature": 0}, {"temperature": 0}),
        ({"constraints": {"temperature_max": 1.0}}, {}, {}),
        ({"base_class": "openai_like"}, {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ],
)
async def test_a_presets_parameters(preset: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]) -> None:
    tokenwire.register("own", {**PRESET, **preset})
    body = json.loads((await sent("own/m", api_key="k", **given)).content)
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == expected


async def test_a_preset_of_a_host_that_takes_texts_alone() -> None:
    tokenwire.register("own", {**PRESET, "special_handling": {"convert_content_list_to_string": True}})
    parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert json.loads((await sent("own/m", messages, api_key="k")).content)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello"},
    ]
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
    with pytest.raises(BadRequestError, match=r"messages\[0\]\.content\[0\] must be text"):
        await sent("own/m", picture, api_key="k")


async def test_a_presets_headers() -> None:
    tokenwire.register("own", {**PRESET, "headers": {"API-Subscription-Key": "{api_key}", "x-from": "me"}})
    headers = (await sent("own/m", api_key="k")).headers
    assert (headers["api-subscription-key"], headers["x-from"], headers["authorization"]) == ("k", "me", "Bearer k")


@pytest.mark.parametrize(
    "preset, words",
    [
        ({"base_url": "https://h"}, "api_key_env"),
        ({**PRESET, "base_url": "h/v1"}, "base_url 'h/v1', which must begin with http"),
        ({**PRESET, "key": "k"}, "unknown field `key`"),
        ({**PRESET, "constraints": {"top_p_max": 1}}, "`top_p_max` - at `\\$.constraints`"),
        ({**PRESET, "base_class": "mine"}, "base_class 'mine'"),
    ],
)
async def test_a_preset_that_can_not_be_used(preset: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=f"the preset for 'own' .*{words}"):
        tokenwire.register("own", preset)


async def test_a_preset_in_the_map_of_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenwire, "custom_provider_map", [{"provider": "own", "custom_handler": PRESET}])
    with pytest.raises(BadRequestError, match=r"tokenwire\.register"):
        await sent("own/m")


# Those that are not there.


@pytest.mark.parametrize(
    "model, words",
    [
        ("gorq/m", 'Did you mean "groq/m"'),
        ("grok/m", 'Did you mean "xai/m"'),
        ("together/org/m", 'Did you mean "together_ai/org/m"'),
        ("openruoter/org/m", 'Did you mean "openrouter/org/m"'),
        ("bedrock/m", 'call "openai/m" with api_base="https://bedrock-runtime.REGION.amazonaws.com/openai/v1"'),
        ("vertex_ai/m", 'call "openai/google/m" with api_base="https://LOCATION-aiplatform.googleapis.com/v1/projects/'),
        ("azure_ai/m", 'call "azure/m" with api_base="https://RESOURCE.services.ai.azure.com"'),
        ("cohere/m", 'call "openai/m" with api_base="https://api.cohere.ai/compatibility/v1"'),
        ("replicate/m", 'For replicate, call "openai/m" with the address'),
        ("groq", 'Name one of its models: "groq/..."'),
        ("acme/m", 'call "openai/acme/m"'),
    ],
)
async def test_a_host_that_is_not_there(model: str, words: str) -> None:
    with pytest.raises(tokenwire.UnknownProviderError) as refusal:
        await sent(model)
    assert words in str(refusal.value)
