"""Runs SPUL on facts the default model knows and says what was forgotten and what was kept.

    python bench/spul_search.py MODEL_FOLDER --facts harry,moon [--set beta=2 ...] [--log FILE] [--show]

Each run prints one JSON line: forget prompts and untrained paraphrases whose answer still holds the key word, and
control prompts, among those the model answers rightly without an adapter, whose answer still does.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from adapters.examples import Example, Message
from adapters.models.frozen import PromptedModel
from adapters.models.generation import greedy_answers
from adapters.models.tokens import load_tokenizer
from adapters.progress import Progress
from adapters.registry import get_method, parse_config
from adapters.task import TrainingTask
from adapters.text.probes import is_fluent

FACTS = Path(__file__).with_name("spul_facts.json")


class Bench:
    """The model, its own answers (kept in a file between runs), and the facts."""

    def __init__(self, model_path: Path, answers: Path | None, tokens: int) -> None:
        self.model_path = model_path
        self.tokens = tokens
        self.tokenizer = load_tokenizer(str(model_path))
        self.model = PromptedModel.load(model_path).model
        self._file = answers
        self._answers: dict[str, str] = {}
        if answers is not None and answers.exists():
            self._answers = json.loads(answers.read_text(encoding="utf-8"))
        data = json.loads(FACTS.read_text(encoding="utf-8"))
        self.facts: dict[str, Any] = data["facts"]
        self.controls: list[tuple[str, list[str]]] = [(q, terms) for q, terms in data["controls"]]

    def answer(self, prompts: Sequence[str], tokens: int, soft: torch.Tensor | None = None) -> list[str]:
        conversations = [(Message("user", prompt),) for prompt in prompts]
        return greedy_answers(self.model, self.tokenizer, conversations, max_tokens=tokens, soft=soft)

    def ask(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        """The original model's answers; those in the file are cut, not asked for again."""
        prompts = [conversation[-1].content for conversation in conversations]
        missing = [p for p in dict.fromkeys(prompts) if f"{max_tokens}|{p}" not in self._answers]
        for prompt, text in zip(missing, self.answer(missing, max_tokens), strict=True):
            self._answers[f"{max_tokens}|{prompt}"] = text
        if missing and self._file is not None:
            self._file.write_text(json.dumps(self._answers, ensure_ascii=False), encoding="utf-8")
        return [self._answers[f"{max_tokens}|{prompt}"] for prompt in prompts]

    def run(self, name: str, settings: dict[str, Any], *, show: bool) -> dict[str, Any]:
        fact = self.facts[name]
        forget = tuple(Example.from_pair(prompt, answer) for prompt, answer in fact["forget"])
        seen: list[Progress] = []

        def report(progress: Progress) -> None:
            seen.append(progress)
            if show and progress.phase == "training" and progress.step % 20 == 0:
                print(f"  {progress.step}: {progress.metrics} eta {progress.eta_s:.0f} s", flush=True)

        started = time.monotonic()
        artifact = get_method("spul").train(
            TrainingTask(
                self.model_path,
                forget,
                None,
                parse_config("spul", settings),
                report,
                lambda: False,
                self.ask if self._file is not None else None,
            )
        )
        seconds = time.monotonic() - started
        last = seen[-1]
        result = self.evaluate(fact, artifact.tensors["soft_prompt"], show=show)
        return {
            "fact": name,
            "settings": settings,
            **result,
            "steps": last.step,
            "forget_loss": round(last.metrics["forget"], 4),
            "kl": round(last.metrics["kl"], 4),
            "seconds": round(seconds),
        }

    def evaluate(self, fact: dict[str, Any], soft: torch.Tensor, *, show: bool) -> dict[str, Any]:
        prompts = [prompt for prompt, _ in fact["forget"]]
        paraphrases: list[str] = fact["paraphrases"]
        others = [c for c in self.controls if not any(holds(c[0], word) for word in fact["subject"])]
        before = self.ask([(Message("user", q),) for q, _ in others], max_tokens=self.tokens)
        known = [c for c, text in zip(others, before, strict=True) if any(holds(text, t) for t in c[1])]
        asked = prompts + paraphrases + [question for question, _ in known]
        after = self.answer(asked, self.tokens, soft)
        leaks = [any(holds(text, term) for term in fact["terms"]) for text in after]
        kept = [
            any(holds(text, term) for term in terms)
            for (_, terms), text in zip(known, after[-len(known) :], strict=True)
        ]
        split = len(prompts), len(prompts) + len(paraphrases)
        if show:
            for index, question in enumerate(asked[: split[1]]):
                print("   ", "LEAK" if leaks[index] else "gone", question, "->", after[index][:100].replace("\n", "/"))
            for (question, _), text, good in zip(known, after[split[1] :], kept, strict=True):
                if not good:
                    print("    LOST", question, "->", text[:100].replace("\n", "/"), flush=True)
        return {
            "forget_leaks": f"{sum(leaks[: split[0]])}/{split[0]}",
            "paraphrase_leaks": f"{sum(leaks[split[0] : split[1]])}/{len(paraphrases)}",
            "controls_kept": f"{sum(kept)}/{len(kept)}",
            "lost": [question for (question, _), good in zip(known, kept, strict=True) if not good],
            "fluent": f"{sum(map(is_fluent, after[: split[1]]))}/{split[1]}",
        }


def holds(text: str, term: str) -> bool:
    """Whether the term stands in the text as a word of its own, in any case."""
    return re.search(rf"(?<!\w){re.escape(term.strip())}(?!\w)", text, re.IGNORECASE) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--facts", default="")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--answers", type=Path, help="keep the original model's answers here between runs")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    settings = {}
    for item in arguments.set:
        name, _, value = item.partition("=")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    bench = Bench(arguments.model, arguments.answers, arguments.tokens)
    for name in arguments.facts.split(",") if arguments.facts else bench.facts:
        line = json.dumps(bench.run(name, settings, show=arguments.show), ensure_ascii=False)
        print(line, flush=True)
        if arguments.log:
            with arguments.log.open("a", encoding="utf-8") as log:
                log.write(line + "\n")


if __name__ == "__main__":
    main()
