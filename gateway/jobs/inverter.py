"""Another model that makes up contradicting answers: any OpenAI-compatible endpoint, named by the operator alone.

It gets to read the forget set. So it is a setting of the worker and never of a request, and its key comes from the
environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from adapters.examples import Message
from adapters.task import Ask
from gateway.client.endpoint import Endpoint
from gateway.settings import Settings

CONCURRENCY = 4
#: As MEOW has it.
TEMPERATURE = 0.9
_LONGEST_PAUSE_S = 10.0


@contextmanager
def inverter(settings: Settings, *, patience_s: float = 120.0, read_timeout_s: float = 120.0) -> Iterator[Ask | None]:
    """The endpoint that these settings name, as adapters' `Ask`, or None. Its answers are sampled: no two runs need be
    alike. It raises the errors of `gateway.client.errors`; none quotes what was asked or answered.

    read_timeout_s: how long one answer may take. patience_s: how long an endpoint that is busy or away is asked again.
    """
    if settings.inverter_url is None:
        yield None
        return
    key = settings.inverter_key
    with Endpoint(
        settings.inverter_url,
        name="inverter",
        api_key=None if key is None else key.get_secret_value(),
        patience_s=patience_s,
        longest_pause_s=_LONGEST_PAUSE_S,
        read_timeout_s=read_timeout_s,
        concurrency=CONCURRENCY,
    ) as endpoint:
        model = settings.inverter_model

        def ask(conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
            def answer(messages: Sequence[Message]) -> str:
                said = [message.to_dict() for message in messages]
                return endpoint.chat(said, model=model, temperature=TEMPERATURE, max_tokens=max_tokens)

            return endpoint.each(answer, conversations)

        yield ask
