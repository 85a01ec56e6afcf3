"""What this service can learn and serve: which methods a request may have here, and why it may not have another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.artifact.footprint import Footprint
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig, UnknownMethod
from adapters.evaluation.levels import Level
from adapters.examples import Example
from adapters.registry import get_method, parse_config
from adapters.selection import AUTO, Candidate, Offer, candidates, named
from adapters.training.effort import Effort
from gateway.errors import Unprocessable
from gateway.settings import OFFERS, Settings


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the engine serves.

    Attributes:
        name: as in `/v1/models`.
        digest: of its checkpoint; adapters are made for one digest.
        hidden_size: width of a soft row.
        max_tokens: longest conversation a caller may send, in tokens.
        count_tokens: length of an example, rendered through the chat template, in tokens.
        pair: the pair that offsets are served through, None without one.
        target_lora: whether LoRAs may change the model itself.
    """

    name: str
    digest: str
    hidden_size: int
    max_tokens: int
    count_tokens: Callable[[Example], int]
    pair: PairSpec | None = None
    target_lora: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    """A candidate as it would be served: the room it takes, and the longest example it learns from, in tokens."""

    candidate: Candidate
    footprint: Footprint
    max_length: int


class Offering:
    """The methods of one service."""

    def __init__(self, settings: Settings, model: ServedModel) -> None:
        self._settings = settings
        self._model = model

    def adapters(
        self, method: str, items: int, config: Mapping[str, Any], level: Level, effort: Effort
    ) -> list[Adapter]:
        """What a request for this method may get, at least one; several only for `auto`, in the order they are tried.

        items: how many examples it is trained on. Raises `Unprocessable` where nothing can be served, for the first
        one's reason.
        """
        try:
            if method == AUTO:
                asked = candidates(self._offer(), items, config, level, effort)
            else:
                asked = (named(method, config, effort),)
        except InvalidConfig as error:
            raise Unprocessable(error.public, param="config") from None
        found: list[Adapter] = []
        refusal: Unprocessable | None = None
        for candidate in asked:
            try:
                found.append(self._adapter(candidate))
            except Unprocessable as error:
                refusal = refusal or error
        if not found:
            assert refusal is not None
            raise refusal
        return found

    def _offer(self) -> Offer:
        return Offer(
            soft_prompts="spul" in self._settings.offered,
            pair=self._model.pair is not None,
            target_lora=self._model.target_lora,
        )

    def _adapter(self, candidate: Candidate) -> Adapter:
        name = candidate.method
        try:
            config = parse_config(name, candidate.config)
        except UnknownMethod as error:
            raise Unprocessable(error.public, param="method") from None
        except InvalidConfig as error:
            raise Unprocessable(error.public, param="config") from None
        method = get_method(name)
        footprint = method.footprint(config)
        self._check_offered(name, footprint, own_reference=method.needs_own_reference(config))
        self._check_size(footprint)
        max_length = min(self._model.max_tokens, getattr(config, "max_length", self._model.max_tokens))
        return Adapter(candidate, footprint, max_length)

    def _check_offered(self, method: str, footprint: Footprint, *, own_reference: bool) -> None:
        offered, pair = self._settings.offered, self._model.pair
        if footprint.rows and "spul" not in offered:
            reason = f"is a soft prompt, {_not_offered('spul', offered)}"
        elif footprint.target_rank and not self._model.target_lora:
            reason = f"changes the target's own layers, {_not_offered('lora', offered)}"
        elif footprint.offset_rank and pair is None and "delta" not in offered:
            reason = f"is served through a pair of small models, {_not_offered('delta', offered)}"
        elif footprint.offset_rank and pair is None:
            reason = (
                "is served through a pair of small models, and this service runs without one; "
                "start it with --offset-layers K, or with --offset-model and a model of the same vocabulary"
            )
        elif own_reference and pair is not None and not pair.own_reference:
            reason = (
                "trains both halves of the pair, and this service's reference takes no adapter; "
                "start it with --offset-reference own"
            )
        else:
            return
        raise Unprocessable(f"method {method!r} {reason}", param="method")

    def _check_size(self, footprint: Footprint) -> None:
        if footprint.rows > self._settings.prompt_budget:
            raise Unprocessable(
                f"the adapter would use {footprint.rows} virtual tokens, "
                f"the service allows {self._settings.prompt_budget}",
                param="config",
            )
        if footprint.rank > self._settings.offset_rank:
            raise Unprocessable(
                f"the adapter would have rank {footprint.rank}, the service allows {self._settings.offset_rank}",
                param="config",
            )


def _not_offered(name: str, offered: frozenset[str]) -> str:
    methods = ",".join(each for each in OFFERS if each in offered or each == name)
    return f"which this service's engine was not started for; start it with --methods {methods}"
