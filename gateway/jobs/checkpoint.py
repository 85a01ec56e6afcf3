"""The folders of the models that a job trains against, and the proof that they are the right ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapters.artifact.spec import PairSpec
from gateway.checkpoints import default_model
from gateway.checkpoints.digests import CheckpointDigests
from gateway.jobs.failures import CheckpointMismatch, CheckpointUnavailable
from gateway.settings import Settings


def checkpoint(settings: Settings, expect_digest: str, digests: CheckpointDigests) -> Path:
    """The checkpoint of `settings.model`, whose digest must be the one the request was registered for.

    Raises `CheckpointUnavailable`, `CheckpointMismatch`. May read every weight: run it off the event loop.
    """
    path = default_model.prepare(settings.cache_dir) if settings.model is None else _locate(settings.model)
    if digests.of(path) != expect_digest:
        raise CheckpointMismatch("the worker's model is not the one this request was registered for")
    return path


def local_pair(pair: PairSpec, settings: Settings, digests: CheckpointDigests) -> PairSpec:
    """The pair that a request was registered for, a separate model in a folder of this host.

    It is `settings.offset_model` where the worker has that set, otherwise where the service has it from. Raises
    `CheckpointUnavailable`, `CheckpointMismatch`. May read every weight: run it off the event loop.
    """
    if pair.layers:
        return pair
    folder = _locate(settings.offset_model or pair.model)
    if digests.of(folder) != pair.model_digest:
        raise CheckpointMismatch("the worker's small model is not the one this request was registered for")
    return replace(pair, model=str(folder))


def _locate(model: str) -> Path:
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise CheckpointUnavailable(f"the worker cannot find the model {model!r}") from error
