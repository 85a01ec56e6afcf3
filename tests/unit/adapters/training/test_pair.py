"""The pair against plain forward passes of three models made anew: target, reference, and LoRA-merged offset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, attach, parameters
from adapters.models.pair import first_layers
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View
from adapters.training.pair import TrainablePair
from tests.unit.adapters.conftest import LAYERS, randomise, save_model

SHORT = TokenizedExample((1, 5, 6, 7), (8, 2))
LONG = TokenizedExample((1, 5, 9, 10, 11, 12, 13), (14, 15, 16, 17, 2))
OTHER = TokenizedExample((1, 5, 9, 20), (21, 22, 2))
GROUPS = {"forget": [LONG, SHORT], "retain": [OTHER]}
SHARED = 2
RANK = 3

MakePair = Callable[[], TrainablePair]


@pytest.fixture(params=["layers", "model"])
def make_pair(request: pytest.FixtureRequest, tiny_model: Path, small_model: Path) -> MakePair:
    """A new pair of either form, which has remembered all examples."""
    if request.param == "layers":
        source = PairSpec(1)
    else:
        source = PairSpec(0, model_digest(small_model), model=str(small_model))

    def make() -> TrainablePair:
        pair = TrainablePair(PromptedModel.load(tiny_model), source, RANK)
        pair.remember([SHORT, OTHER, LONG], SHARED)
        return pair

    return make


def plain(path: Path, *, layers: int = LAYERS, lora: Mapping[str, LoraLinear] | None = None) -> Any:
    """The first layers of a checkpoint as a model of its own, with the LoRA's products added to its weights."""
    model = LlamaForCausalLM.from_pretrained(path)
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = layers
    for name, layer in (lora or {}).items():
        model.get_submodule(name).weight.data += (layer.lora_b @ layer.lora_a).detach()
    return model.eval()


def answer_logits(model: Any, example: TokenizedExample) -> torch.Tensor:
    """[answer, vocabulary], by one pass over the whole example alone: what predicts each token of its answer."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([[*example.prompt_ids, *example.answer_ids]])).logits[0]
    return logits[len(example.prompt_ids) - 1 : -1]


class TestFirstLayers:
    def test_it_computes_what_the_truncated_model_does(self, target: PromptedModel, tiny_model: Path) -> None:
        short, ids = first_layers(target.model, 1), torch.tensor([[1, 5, 9, 10, 11]])
        with torch.no_grad():
            torch.testing.assert_close(short(ids).logits, plain(tiny_model, layers=1)(ids).logits)
            assert not torch.allclose(short(ids).logits, target.model(ids).logits, atol=1e-2)

    def test_embedding_head_and_norm_are_shared_and_layers_are_new_around_the_same_weights(
        self, target: PromptedModel
    ) -> None:
        short, model = first_layers(target.model, 1), target.model
        assert short.get_input_embeddings() is model.get_input_embeddings()
        assert short.get_output_embeddings() is model.get_output_embeddings()
        assert short.get_decoder().norm is model.get_decoder().norm
        assert len(short.get_decoder().layers) == 1
        mine = dict(short.get_decoder().layers.named_parameters())
        theirs = dict(model.get_decoder().layers.named_parameters())
        assert mine
        assert all(parameter is theirs[name] for name, parameter in mine.items()), "no weight is in memory twice"
        modules = {id(module) for module in model.get_decoder().layers.modules()}
        assert not modules & {id(module) for module in short.get_decoder().layers.modules()}

    def test_the_target_is_left_alone(self, target: PromptedModel) -> None:
        ids = torch.tensor([[1, 5, 9, 10, 11]])
        modules = dict(target.model.named_modules())
        weights = {name: tensor.clone() for name, tensor in target.model.state_dict().items()}
        with torch.no_grad():
            logits = target.model(ids).logits
            randomise(attach(first_layers(target.model, 1), RANK))
            assert torch.equal(target.model(ids).logits, logits)
        assert target.model.config.num_hidden_layers == len(target.model.get_decoder().layers) == LAYERS
        after = dict(target.model.named_modules())
        assert after.keys() == modules.keys()
        assert all(after[name] is module for name, module in modules.items())
        assert all(torch.equal(target.model.state_dict()[name], tensor) for name, tensor in weights.items())

    @pytest.mark.parametrize("layers", [-1, 0, LAYERS + 1])
    def test_layers_the_model_does_not_have_are_refused(self, prompted: PromptedModel, layers: int) -> None:
        with pytest.raises(InvalidConfig, match=f"has {LAYERS} layers; a pair of {layers} "):
            first_layers(prompted.model, layers)

    def test_a_model_that_caps_its_logits_is_refused(self, target: PromptedModel) -> None:
        target.model.config.final_logit_softcapping = 30.0
        with pytest.raises(InvalidConfig, match="caps its logits"):
            first_layers(target.model, 1)

    def test_a_model_that_keeps_its_layers_elsewhere_is_refused(self) -> None:
        config = GPT2Config(
            vocab_size=10, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=2
        )
        with pytest.raises(InvalidConfig, match="GPT2LMHeadModel does not keep its decoder layers"):
            first_layers(GPT2LMHeadModel(config), 1)

    def test_a_model_whose_decoder_is_part_of_a_part_is_refused(self) -> None:
        """Replacing such a decoder by its name would leave it in place, and the target would be trained."""
        text = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "head_dim": 4}
        text |= {"num_attention_heads": 2, "num_key_value_heads": 1}
        vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = Gemma3ForConditionalGeneration(
            Gemma3Config(
                text_config={**text, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
                vision_config={**vision, "image_size": 14, "patch_size": 14},
                boi_token_index=40,
                eoi_token_index=41,
                image_token_index=42,
            )
        )
        with pytest.raises(InvalidConfig, match="Gemma3ForConditionalGeneration does not hold its decoder itself"):
            first_layers(model, 1)


class TestTrainablePair:
    def test_untrained_it_is_the_target_to_the_bit(self, make_pair: MakePair, tiny_model: Path) -> None:
        pair, target = make_pair(), plain(tiny_model)
        assert pair.lora
        views = pair.views(GROUPS, SHARED, strength=1.5)
        assert views.keys() == GROUPS.keys()
        for name, group in GROUPS.items():
            assert torch.equal(views[name].logits, views[name].original)
            expected = torch.cat([answer_logits(target, example) for example in group])
            torch.testing.assert_close(views[name].original, expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
    def test_the_offset_is_added_to_the_targets_logits(
        self, make_pair: MakePair, tiny_model: Path, small_model: Path, strength: float
    ) -> None:
        pair = make_pair()
        randomise(pair.lora, scale=0.1)
        path, layers = (tiny_model, 1) if pair.shares_head else (small_model, LAYERS)
        target, reference = plain(tiny_model), plain(path, layers=layers)
        offset = plain(path, layers=layers, lora=pair.lora)
        views = pair.views(GROUPS, SHARED, strength)
        for name, group in GROUPS.items():
            change = [answer_logits(offset, e) - answer_logits(reference, e) for e in group]
            assert all(float(difference.abs().max()) > 0.1 for difference in change)
            expected = [
                answer_logits(target, example) + strength * difference
                for example, difference in zip(group, change, strict=True)
            ]
            torch.testing.assert_close(views[name].logits.detach(), torch.cat(expected), atol=1e-3, rtol=1e-3)

    def test_each_view_says_which_tokens_are_whose(self, make_pair: MakePair) -> None:
        views = make_pair().views(GROUPS, SHARED, 1.0, first_token_weight=3.0)
        forget, retain = views["forget"], views["retain"]
        assert forget.targets.tolist() == [*LONG.answer_ids, *SHORT.answer_ids]
        assert forget.owner.tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert forget.weights is not None
        assert forget.weights.tolist() == [3, 1, 1, 1, 1, 3, 1]
        assert (forget.examples, retain.examples) == (2, 1)
        assert retain.targets.tolist() == list(OTHER.answer_ids)
        assert retain.owner.tolist() == [0, 0, 0]

    def test_a_groups_view_does_not_depend_on_what_it_is_given_with(self, make_pair: MakePair) -> None:
        pair = make_pair()
        randomise(pair.lora, scale=0.1)
        together = pair.views({"a": [SHORT], "b": [LONG, OTHER], "c": [SHORT]}, SHARED, 1.0)
        alone = pair.views({"b": [LONG, OTHER]}, SHARED, 1.0)["b"]
        torch.testing.assert_close(together["b"].logits, alone.logits, atol=1e-4, rtol=1e-4)
        assert torch.equal(together["a"].logits, together["c"].logits)

    def test_gradients_reach_the_lora_and_nothing_else(self, make_pair: MakePair) -> None:
        pair = make_pair()
        randomise(pair.lora, scale=0.1)
        view: View = pair.views(GROUPS, SHARED, 1.0)["forget"]
        assert not view.original.requires_grad
        view.logits.square().sum().backward()  # type: ignore[no-untyped-call]
        trained = parameters(pair.lora)
        assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trained)
        others = [*pair.target.model.parameters(), *pair.offset.model.parameters()]
        assert all(p.grad is None for p in others if not any(p is mine for mine in trained))

    def test_the_reference_is_read_before_the_lora_is_attached(self, make_pair: MakePair) -> None:
        pair = make_pair()
        pair.remember([SHORT], SHARED)
        assert pair.lora is pair.lora
        with pytest.raises(RuntimeError, match="before the LoRA"):
            pair.remember([SHORT], SHARED)

    def test_settled_the_offset_runs_once_for_all_strengths(
        self, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = make_pair()
        randomise(pair.lora, scale=0.1)
        strengths, runs = (0.5, 1.0, 2.0), list[int]()
        with torch.no_grad():
            apart = [pair.views(GROUPS, SHARED, strength)["forget"].logits for strength in strengths]
        read = PromptedModel.answer_states

        def counted(model: PromptedModel, *arguments: Any) -> torch.Tensor:
            runs.append(1)
            return read(model, *arguments)

        monkeypatch.setattr(PromptedModel, "answer_states", counted)
        with torch.no_grad(), pair.settled():
            together = [pair.views(GROUPS, SHARED, strength)["forget"].logits for strength in strengths]
        assert len(runs) == 1
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(together, apart, strict=True))
        with torch.no_grad():
            randomise(pair.lora, seed=1, scale=0.1)
            assert not torch.equal(pair.views(GROUPS, SHARED, 1.0)["forget"].logits, apart[1]), "and anew afterwards"

    def test_what_was_not_remembered_has_no_view(self, make_pair: MakePair) -> None:
        with pytest.raises(KeyError):
            make_pair().views({"forget": [TokenizedExample((1, 5, 6), (2,))]}, SHARED, 1.0)

    def test_many_examples_are_remembered_each_as_alone(self, make_pair: MakePair) -> None:
        """More than fit in one pass, some of them twice."""
        pair = make_pair()
        many = [TokenizedExample((1, 5, number), (number + 1, 2)) for number in range(6, 76)]
        pair.remember([*many, *many[:3]], SHARED)
        view = pair.views({"all": many}, SHARED, 1.0)["all"]
        assert view.examples == 70
        for number in (0, 31, 32, 69):
            mine = view.owner == number
            expected = answer_logits(pair.target.model, many[number])
            torch.testing.assert_close(view.original[mine], expected, atol=1e-4, rtol=1e-4)

    def test_another_vocabulary_is_refused(self, target: PromptedModel, tmp_path: Path) -> None:
        vocabulary = len(target.head.weight)
        source = PairSpec(0, "a" * 64, model=str(save_model(tmp_path, vocab_size=vocabulary + 1)))
        with pytest.raises(InvalidConfig, match=f"has {vocabulary + 1} tokens, the target's {vocabulary}"):
            TrainablePair(target, source, RANK)

    def test_more_layers_than_there_are_are_refused(self, target: PromptedModel) -> None:
        with pytest.raises(InvalidConfig, match="cannot be taken"):
            TrainablePair(target, PairSpec(LAYERS + 1), RANK)
