"""How the wrapper model sees its configuration: the served model's own, plus what `hf_overrides` added.

vLLM hands one Hugging Face config to every process. The gateway adds a key to it (`CONFIG_KEY`) that holds what the
outer model needs and what the inner one must not see changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.artifact.spec import PairSpec

ARCHITECTURE = "UnlearningForCausalLM"
CONFIG_KEY = "unlearning"


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of the wrapper model.

    Attributes:
        target_architectures: architecture names of the served model, as in its own config.
        vocab_size: V, the served model's vocabulary; ids below it are real tokens.
        soft_rows: rows of the soft-prompt table; ids V … V + soft_rows − 1 are virtual tokens.
        pair: the pair of δ-unlearning, or None without one.
        target_lora: whether LoRAs may change the target's own layers.
    """

    target_architectures: tuple[str, ...]
    vocab_size: int
    soft_rows: int
    pair: PairSpec | None = None
    target_lora: bool = False

    @property
    def takes_loras(self) -> bool:
        """Whether LoRAs change anything in this engine."""
        return self.target_lora or self.pair is not None

    @property
    def outer_vocab_size(self) -> int:
        """Vocabulary the engine is told of: real and virtual ids."""
        return self.vocab_size + self.soft_rows

    def virtual_ids(self, rows: Sequence[int]) -> list[int]:
        """Token ids that look up `rows` of the table."""
        return [self.vocab_size + row for row in rows]

    def hf_overrides(self) -> dict[str, Any]:
        """The overrides that make vLLM build the wrapper around the served model."""
        return {
            "architectures": [ARCHITECTURE],
            "vocab_size": self.outer_vocab_size,
            CONFIG_KEY: asdict(self),
        }

    @classmethod
    def from_hf_config(cls, hf_config: Any) -> Layout:
        """Read back what `hf_overrides` put in. Raises ValueError where it is missing."""
        data: Mapping[str, Any] | None = getattr(hf_config, CONFIG_KEY, None)
        if data is None:
            raise ValueError(f"the model config has no {CONFIG_KEY!r} entry; start the engine through `unlearn serve`")
        pair = None if data["pair"] is None else PairSpec(**data["pair"])
        architectures = tuple(data["target_architectures"])
        return cls(architectures, int(data["vocab_size"]), int(data["soft_rows"]), pair, bool(data["target_lora"]))
