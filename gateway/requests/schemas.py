"""Bodies and answers of `/forget`. Everything is checked here; nothing unknown gets through."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from adapters.data.forget.passages import passage_examples
from adapters.examples import Example

Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Answered(_Body):
    """What has one answer that is to go."""

    inverted: Annotated[tuple[Text, ...], Field(max_length=32)] = Field(
        default=(), description="answers that contradict this one, for a forget item of the objective meow"
    )


class PromptCompletion(_Answered):
    """One question and its answer."""

    prompt: Text
    completion: Text

    def examples(self) -> list[Example]:
        """Raises `InvalidExample`."""
        return [Example.from_pair(self.prompt, self.completion)]


class ChatMessage(_Body):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: Text


class Conversation(_Answered):
    """A chat transcript that ends with the assistant's answer."""

    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=2, max_length=200)]

    def examples(self) -> list[Example]:
        """Raises `InvalidExample`."""
        return [Example.from_messages([message.model_dump() for message in self.messages])]


class Passage(_Body):
    """A text, of which every sentence is to go."""

    text: Text

    @property
    def inverted(self) -> tuple[str, ...]:
        return ()

    def examples(self) -> list[Example]:
        """One or two conversations a sentence. Raises `InvalidExample`."""
        return passage_examples(self.text)


Item = PromptCompletion | Conversation | Passage


class Scope(_Body):
    """For whom and when the request applies. The only scope so far: everybody, always."""

    prompts: Literal["always"] = "always"


class ForgetBody(_Body):
    """`POST /forget`."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="a label for listings, or alone what the model is asked about; it is stored in clear either way, "
        "so keep personal data out of it",
    )
    forget: Annotated[tuple[Item, ...], Field(min_length=1)] | None = Field(
        default=None,
        validate_default=True,
        description="what is to be forgotten; asked of the model when only a subject is given",
    )
    retain: Annotated[tuple[Item, ...], Field(min_length=1)] | None = Field(
        default=None, description="what must stay; made by asking the model general questions when left out"
    )
    method: str = Field(
        default="auto",
        description="the unlearning method: spul, delta, uld, divergence, lora; auto tries up to three and keeps "
        "the best",
    )
    config: dict[str, Any] = Field(default_factory=dict, description="the method's own settings")
    activation: Literal["auto", "manual"] = "auto"
    scope: Scope = Scope()

    @field_validator("forget")
    @classmethod
    def _names_something(cls, forget: tuple[Item, ...] | None, info: ValidationInfo) -> tuple[Item, ...] | None:
        if forget is None and not (info.data.get("subject") or "").strip():
            raise ValueError("give forget items, or a subject to ask the model about")
        return forget


class ExamplesBody(_Body):
    """`PUT /forget/{id}/examples`."""

    forget: Annotated[tuple[Item, ...], Field(min_length=1)] = Field(description="what is to be forgotten instead")


class RequestList(BaseModel):
    """`GET /forget`."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    next_cursor: str | None
