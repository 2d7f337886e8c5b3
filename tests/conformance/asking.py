"""The fixture's tools that ask the client something before they answer.

In the handshake versions while the call runs; since 2026-07-28 by an `InputRequiredResult`, after
which the client calls again with the answers (SEP-2322).
"""

import json
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context, Resolve, Sample, UserMessage
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

Ask = Context[Any, Any]


class User(BaseModel):
    """What `test_elicitation` asks for."""

    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    """A default of each primitive type (SEP-1034)."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


THREE = ["option1", "option2", "option3"]
TITLED = [
    {"const": "value1", "title": "First Option"},
    {"const": "value2", "title": "Second Option"},
    {"const": "value3", "title": "Third Option"},
]
CHOICES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": THREE},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": THREE}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}
"""Every form that a choice may have (SEP-1330)."""


async def test_sampling(prompt: str, ctx: Ask) -> str:
    """Ask the client's model."""
    answer = await ctx.session.create_message(
        [SamplingMessage(role="user", content=TextContent(text=prompt))], max_tokens=100
    )
    return f"LLM response: {text_of(answer)}"


async def test_elicitation(message: str, ctx: Ask) -> str:
    """Ask the person."""
    return f"User response: {described(await ctx.elicit(message, User))}"


async def test_elicitation_sep1034_defaults(ctx: Ask) -> str:
    """Ask the person, with defaults."""
    return f"Elicitation completed: {described(await ctx.elicit('Defaults', Defaults))}"


async def test_elicitation_sep1330_enums(ctx: Ask) -> str:
    """Ask the person to choose."""
    answer = await ctx.session.elicit_form("Choose", CHOICES, ctx.request_context.request_id)
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


def described(answer: Any) -> str:
    """An answer as the runner wants to read it."""
    data = getattr(answer, "data", None)
    return f"action={answer.action}, content={data.model_dump_json() if data else '{}'}"


def question(message: str, **properties: str) -> ElicitRequest:
    """A form with these properties, each of a type, all required."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str, max_tokens: int = 100) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=prompt))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def required(state: str | None = None, /, **requests: InputRequest) -> InputRequiredResult:
    """The result that asks; the SDK seals the state."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def accepted(ctx: Ask, key: str) -> dict[str, Any] | None:
    """What a person filled in, None if they did not."""
    answer = (ctx.input_responses or {}).get(key)
    if isinstance(answer, ElicitResult) and answer.action == "accept":
        return dict(answer.content or {})
    return None


def sampled(ctx: Ask, key: str) -> str | None:
    """What the client's model said, None if it did not."""
    answer = (ctx.input_responses or {}).get(key)
    return text_of(answer) if isinstance(answer, CreateMessageResult) else None


def listed(ctx: Ask, key: str) -> list[str] | None:
    """The client's roots, None if it did not tell."""
    answer = (ctx.input_responses or {}).get(key)
    return [str(root.uri) for root in answer.roots] if isinstance(answer, ListRootsResult) else None


def text_of(answer: CreateMessageResult) -> str:
    """The text of a sampled message."""
    return answer.content.text if isinstance(answer.content, TextContent) else ""


async def test_input_required_result_elicitation(ctx: Ask) -> str | InputRequiredResult:
    """Greet a person by name."""
    answer = accepted(ctx, "user_name")
    if answer is None or not isinstance(answer.get("name"), str):
        return required(user_name=question("What is your name?", name="string"))
    return f"Hello, {answer['name']}!"


async def test_input_required_result_sampling(ctx: Ask) -> str | InputRequiredResult:
    """Let the client's model tell a capital."""
    answer = sampled(ctx, "capital_question")
    if answer is None:
        return required(capital_question=sampling("What is the capital of France?"))
    return f"The model says: {answer}"


async def test_input_required_result_list_roots(ctx: Ask) -> str | InputRequiredResult:
    """Tell the client's roots."""
    answer = listed(ctx, "client_roots")
    if answer is None:
        return required(client_roots=ListRootsRequest())
    return f"Roots: {', '.join(answer)}"


async def test_input_required_result_prompt(ctx: Ask) -> Any:
    """A prompt that needs a context."""
    answer = accepted(ctx, "user_context")
    if answer is None:
        message = "What context should the prompt use?"
        return required(user_context=question(message, context="string"))
    return UserMessage(f"Use this context: {answer.get('context')}")


async def test_streaming_elicitation(ctx: Ask) -> str | InputRequiredResult:
    """Ask in a result, never in a request of its own on the stream."""
    if accepted(ctx, "name") is None:
        return required(name=question("What is your name?", name="string"))
    return "done"


async def test_input_required_result_request_state(ctx: Ask) -> str | InputRequiredResult:
    """Ask for a yes, and know the conversation again."""
    if ctx.request_state != "asked" or accepted(ctx, "confirm") is None:
        return required("asked", confirm=question("Please confirm", ok="boolean"))
    return "state-ok"


async def test_input_required_result_tampered_state(ctx: Ask) -> str | InputRequiredResult:
    """Ask with a state that cannot be changed."""
    if ctx.request_state != "asked" or accepted(ctx, "confirm") is None:
        return required("asked", confirm=question("Please confirm", ok="boolean"))
    return "done"


async def test_input_required_result_multiple_inputs(ctx: Ask) -> str | InputRequiredResult:
    """Ask the person, the model and for the roots at once."""
    name = accepted(ctx, "user_name")
    greeting, roots = sampled(ctx, "greeting"), listed(ctx, "client_roots")
    if name is None or greeting is None or roots is None:
        return required(
            "asked",
            user_name=question("What is your name?", name="string"),
            greeting=sampling("Generate a greeting", 50),
            client_roots=ListRootsRequest(),
        )
    return f"{greeting}, {name.get('name')}! Roots: {', '.join(roots)}"


async def test_input_required_result_multi_round(ctx: Ask) -> str | InputRequiredResult:
    """Ask for a name, then for a colour."""
    state = json.loads(ctx.request_state or "{}")
    if "name" not in state:
        name = accepted(ctx, "step1")
        if name is None:
            return required("{}", step1=question("Step 1: What is your name?", name="string"))
        state = {"name": name.get("name")}
    colour = accepted(ctx, "step2")
    if colour is None:
        message = "Step 2: What is your favorite color?"
        return required(json.dumps(state), step2=question(message, color="string"))
    return f"{state['name']} likes {colour.get('color')}"


async def sample_something() -> Sample:
    """What needs the client's `sampling` capability; the SDK refuses the call without it."""
    message = SamplingMessage(role="user", content=TextContent(text="Say something"))
    return Sample([message], max_tokens=10)


async def test_missing_capability(
    said: Annotated[CreateMessageResult, Resolve(sample_something)],
) -> str:
    """Needs sampling."""
    return text_of(said)


async def test_input_required_result_capabilities(ctx: Ask) -> str | InputRequiredResult:
    """Ask only what the client can answer."""
    able = ctx.client_capabilities
    if ctx.input_responses:
        return "done"
    requests: dict[str, InputRequest] = {}
    if able and able.sampling is not None:
        requests["sampled"] = sampling("Say something")
    if able and able.elicitation is not None:
        requests["asked"] = question("Please confirm", ok="boolean")
    if not requests:
        raise ToolError("the client can answer nothing")
    return InputRequiredResult(input_requests=requests)


TOOLS = (
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_streaming_elicitation,
    test_missing_capability,
)
PROMPTS = (test_input_required_result_prompt,)
