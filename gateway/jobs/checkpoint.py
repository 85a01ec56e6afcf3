"""The folder of the model that a job trains against, and the proof that it is the right one."""

from __future__ import annotations

from pathlib import Path

from adapters.artifact import model_digest
from gateway import default_model
from gateway.config import Settings
from gateway.jobs.failures import CheckpointMismatch, CheckpointUnavailable


def checkpoint(settings: Settings, expect_digest: str) -> Path:
    """The checkpoint of `settings.model`, whose digest must be the one the request was registered for.

    Raises `CheckpointUnavailable`, `CheckpointMismatch`. Reads every weight: run it off the event loop.
    """
    path = _locate(settings)
    if model_digest(path) != expect_digest:
        raise CheckpointMismatch("the worker's model is not the one this request was registered for")
    return path


def _locate(settings: Settings) -> Path:
    if settings.model is None:
        return default_model.prepare(settings.cache_dir)
    path = Path(settings.model).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(settings.model))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise CheckpointUnavailable(f"the worker cannot find the model {settings.model!r}") from error
