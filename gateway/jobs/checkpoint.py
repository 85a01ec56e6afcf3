"""The folders of the models that a job trains against, and the proof that they are the right ones."""

from __future__ import annotations

import json
from pathlib import Path

from adapters.artifact.spec import PairSpec, default_layers
from adapters.pair_source import PairSource
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


def pair_source(settings: Settings, target: Path, digests: CheckpointDigests) -> PairSource:
    """The pair that a service of these settings offers for a target. Raises `CheckpointUnavailable`."""
    own = settings.own_reference
    if settings.offset_model is not None:
        folder = _locate(settings.offset_model)
        return PairSource(PairSpec(0, digests.of(folder), own), folder)
    layers = settings.offset_layers
    if layers is None:
        depth = json.loads((target / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
        layers = default_layers(depth)
    return PairSource(PairSpec(layers, own_reference=own))


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
