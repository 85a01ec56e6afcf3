"""Tells the operator's own endpoint what happened, as the Standard Webhooks specification has it.

Where it goes is the operator's setting alone; no caller can name an address. A message holds ids, digests and names of
what changed, and nothing of what a request is about.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from gateway.errors import GatewayError
from gateway.service.metrics import GatewayMetrics
from gateway.store.lease import Lease
from gateway.store.webhooks import Message, WebhookQueue

logger = logging.getLogger(__name__)

POLL_S = 15.0
#: An endpoint that has been away for longer misses what happened before.
KEPT_S = 24 * 3600.0
_TIMEOUT_S = 15.0
#: In one go; what fails then is tried again at the next poll.
_TRIES = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 20.0
#: Longer than all tries with their pauses.
LEASE_S = 180.0


class EndpointFailed(GatewayError):
    """The endpoint did not take a message; it may take it later."""

    code = "webhook_failed"


class WebhookSender:
    """Signs and posts messages."""

    def __init__(self, url: str, secret: str, http: httpx.AsyncClient) -> None:
        """secret: `whsec_` and base64. Raises ValueError or `binascii.Error` for another."""
        self._url = url
        self._signer = Webhook(secret)
        self._http = http

    async def send(self, message: Message) -> bool:
        """False where the endpoint says that it is gone for good (410). Raises `EndpointFailed`."""
        name, now = f"msg_{message.id}", datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(name, now, message.body),
        }
        try:
            response = await self._http.post(
                self._url, content=message.body.encode(), headers=headers, timeout=_TIMEOUT_S, follow_redirects=False
            )
        except httpx.HTTPError as error:
            raise EndpointFailed(f"the webhook cannot be reached ({type(error).__name__})") from error
        if response.status_code == httpx.codes.GONE:
            return False
        if not response.is_success:
            raise EndpointFailed(f"the webhook answered {response.status_code}")
        return True


class WebhookDelivery:
    """`deliver` is to be done every `POLL_S`; one replica delivers at a time, oldest first, each at least once."""

    def __init__(self, queue: WebhookQueue, sender: WebhookSender, lease: Lease, metrics: GatewayMetrics) -> None:
        self._queue = queue
        self._sender = sender
        self._lease = lease
        self._metrics = metrics

    async def deliver(self) -> None:
        """Deliver what waits, until an endpoint that is away keeps it waiting. Raises `StoreUnavailable`."""
        while await self._next():
            pass

    async def _next(self) -> bool:
        """Deliver the oldest message; False where there is none, another replica is at it, or it has to wait."""
        async with self._lease.held() as mine:
            message = await self._queue.oldest() if mine else None
            self._metrics.webhooks_waiting.set(await self._queue.length())
            if message is None:
                return False
            try:
                outcome = await self._outcome(message)
            except EndpointFailed as error:
                self._metrics.webhooks.labels("failed").inc()
                logger.warning("webhook failed, it is tried again message=%s: %s", message.id, error.message)
                return False
            await self._queue.drop(message)
            self._metrics.webhooks.labels(outcome).inc()
            logger.info("webhook %s message=%s", outcome, message.id)
            return True

    async def _outcome(self, message: Message) -> str:
        if time.time() - message.written_at > KEPT_S:
            return "expired"
        tries = AsyncRetrying(
            retry=retry_if_exception_type(EndpointFailed),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        )
        taken: bool = await tries(self._sender.send, message)
        return "delivered" if taken else "refused"
