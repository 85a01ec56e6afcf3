"""Bodies and answers of `/forget`. Everything is checked here; nothing unknown gets through."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from adapters.evaluation.levels import Level
from adapters.training.effort import DEFAULT_EFFORT, Effort
from gateway.access.schemas import Tenant
from gateway.evidence.report.tiers import DEFAULT_TIER, Keep, Tier
from gateway.requests.items import Body, Item
from gateway.store.records import Activation, Interim, Otherwise, Prompts

Items = Annotated[list[Item], Field(min_length=1)]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """JSON that every reader takes; Python's own parser lets through what is none."""
    try:
        json.dumps(config, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise PydanticCustomError("plain_json", "holds a number or a text that is no valid JSON") from None
    return config


def _interim(given: dict[str, Any]) -> Interim:
    return Interim.REFUSE if given.get("prompts") is Prompts.MATCHED else Interim.NONE


class Scope(Body):
    """When the request applies."""

    prompts: Prompts = Field(
        default=Prompts.MATCHED,
        description="matched: to prompts that are about it, and all others are answered by the model as it is; always: "
        "to every prompt",
    )
    otherwise: Otherwise = Field(
        default=Otherwise.ALWAYS,
        description="what becomes of a matched request whose scope catches too few of the prompts that bring it out: "
        "it is applied to every prompt, or rejected",
    )
    interim: Interim = Field(
        default_factory=_interim,
        validate_default=True,
        description="what a prompt that a matched request is about gets until the request is active. refuse, its "
        "default: a refusal, by a filter in front of the model, which ends when the request is active or retired and "
        "with nothing else. none: an answer. A request that applies to every prompt has none",
    )

    @field_validator("interim")
    @classmethod
    def _of_matched(cls, interim: Interim, info: ValidationInfo) -> Interim:
        if interim is Interim.REFUSE and info.data.get("prompts") is Prompts.ALWAYS:
            raise ValueError('needs "prompts": "matched": which prompts to refuse is told by what they are about')
        return interim


class Evidence(Body):
    """How the request is evaluated."""

    tier: Tier = Field(
        default=DEFAULT_TIER,
        description="how many questions each attack asks: smoke 4, standard 12, full 40; the record's "
        "estimate_evaluation_s tells how long that takes",
    )
    keep: Keep = Field(
        default=Keep.NOTHING,
        description="what stays of the questions when it has been evaluated. probes: all of them, encrypted under a "
        "key of their own, so that the evaluation can be repeated; DELETE /forget/{id}/probes ends that",
    )


class ForgetBody(Body):
    """`POST /forget`."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="a label for listings, or alone what the model is asked about; it is stored in clear either way, "
        "so keep personal data out of it",
    )
    forget: Items | None = Field(
        default=None,
        validate_default=True,
        description="what is to be forgotten; asked of the model when only a subject is given",
    )
    retain: Items | None = Field(
        default=None, description="what must stay; made by asking the model general questions when left out"
    )
    method: str = Field(
        default="auto",
        description="the unlearning method: spul, delta, uld, divergence, lora; auto tries up to three and keeps "
        "the best",
    )
    level: Level = Field(
        default=Level.SUPPRESSES,
        description="what the evidence is to show. refuses: the questions, also in other words, are not answered with "
        "it; suppresses: no attack brings it out in an answer; resembles_ignorance: nor is it the likeliest of several",
    )
    effort: Effort = Field(
        default=DEFAULT_EFFORT,
        description="what is spent on attacks by an objective that learns from them: quick learns from few, standard "
        "from more and is attacked once in turn, thorough from many and is attacked three times",
    )
    config: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(
        default_factory=dict, description="the method's own settings"
    )
    activation: Activation = "auto"
    scope: Scope = Scope()
    evidence: Evidence = Evidence()
    tenant: Tenant | None = Field(
        default=None,
        description="whose answers it applies to; left out: those of the caller's tenant, and everybody's where the "
        "caller has none",
    )

    @field_validator("forget")
    @classmethod
    def _names_something(cls, forget: list[Item] | None, info: ValidationInfo) -> list[Item] | None:
        if forget is None and not (info.data.get("subject") or "").strip():
            raise ValueError("give forget items, or a subject to ask the model about")
        return forget


class ExamplesBody(Body):
    """`PUT /forget/{id}/examples`."""

    forget: Items = Field(description="what is to be forgotten instead")


class RequestList(BaseModel):
    """`GET /forget`."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    next_cursor: str | None
