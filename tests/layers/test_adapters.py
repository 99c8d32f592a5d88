"""What peft does to a branch acts as it does on Hugging Face's own GPT-2."""

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Model

from layers.gpt2 import GPT2Branch, adapter_is_merged, build_branches
from tests.layers.test_gpt2 import random_gpt2

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
EVERYWHERE = ["c_attn", "c_fc", "c_proj"]


class Pair:
    """A branch and Hugging Face's GPT-2 with the same weights and adapters."""

    def __init__(self, prepare, **lora):
        backbone = random_gpt2(attn_implementation="eager", **NO_DROPOUT)
        theirs: GPT2Model = deepcopy(backbone)
        config = LoraConfig(r=3, lora_alpha=8, fan_in_fan_out=True, **lora)
        self.branch = get_peft_model(GPT2Branch(backbone, 3), config)
        self.theirs = get_peft_model(theirs, deepcopy(config))
        self.copy_adapters()
        self.branch = prepare(self.branch)
        self.x = torch.randn(2, 5, 32)

    def copy_adapters(self, adapter: str = "default"):
        """Give both the same adapter, which does something."""
        torch.manual_seed(3)
        state = self.branch.state_dict()
        for name, tensor in state.items():
            if ("lora_A" in name or "lora_B" in name) and adapter in name:
                tensor.copy_(0.2 * torch.randn_like(tensor))
        assert not self.theirs.load_state_dict(state, strict=False).unexpected_keys

    def both(self, act) -> None:
        act(self.branch)
        act(self.theirs)

    def compare(self) -> torch.Tensor:
        """Compare outputs with and without gradients, and all gradients; return the output."""
        for training in (True, False):
            self.both(lambda model, training=training: model.train(training))
            x, their_x = self.x.clone().requires_grad_(), self.x.clone().requires_grad_()
            ours = self.branch(x)[0]
            theirs = self.theirs(inputs_embeds=their_x).last_hidden_state + their_x
            torch.testing.assert_close(ours, theirs, **CLOSE)
            torch.manual_seed(5)
            direction = torch.randn_like(ours)
            ours.backward(direction)
            theirs.backward(direction)
            parameters = dict(self.branch.named_parameters())
            pairs = {name: (parameters.get(name), p) for name, p in self.theirs.named_parameters()}
            for name, (p, their_p) in {**pairs, "x": (x, their_x)}.items():
                if their_p.grad is not None:
                    error = (p.grad - their_p.grad).norm()
                    assert error <= 1e-4 * their_p.grad.norm(), name
            self.both(lambda model: model.zero_grad())
        for grad_mode in (torch.no_grad, torch.inference_mode):
            with grad_mode():
                torch.testing.assert_close(self.branch(self.x)[0], theirs, **CLOSE)
        return theirs.detach()


@pytest.mark.parametrize("target", ["c_attn", "c_fc", "c_proj", EVERYWHERE])
@pytest.mark.parametrize("more", [{}, {"use_dora": True}, {"lora_bias": True}])
def test_lora(prepare, target, more):
    pair = Pair(prepare, target_modules=target if isinstance(target, list) else [target], **more)
    adapted = pair.compare()
    with torch.no_grad(), pair.branch.disable_adapter():
        assert not torch.allclose(pair.branch(pair.x)[0], adapted, atol=1e-2)


@pytest.mark.parametrize("targets", [["c_attn"], EVERYWHERE])
@pytest.mark.parametrize("use_dora", [False, True])
def test_disabled_and_merged_adapters(prepare, targets, use_dora):
    pair = Pair(prepare, target_modules=targets, use_dora=use_dora)
    adapted = pair.compare()
    pair.both(lambda model: model.base_model.disable_adapter_layers())
    assert not torch.allclose(pair.compare(), adapted, atol=1e-2)
    pair.both(lambda model: model.base_model.enable_adapter_layers())
    torch.testing.assert_close(pair.compare(), adapted, **CLOSE)
    for safe_merge in (False, True):
        pair.both(lambda model, safe=safe_merge: model.merge_adapter(safe_merge=safe))
        assert adapter_is_merged(pair.branch)
        torch.testing.assert_close(pair.compare(), adapted, **CLOSE)
        pair.both(lambda model: model.unmerge_adapter())
        assert not adapter_is_merged(pair.branch)
        torch.testing.assert_close(pair.compare(), adapted, **CLOSE)


def test_two_adapters(prepare):
    pair = Pair(prepare, target_modules=["c_attn"])
    first = pair.compare()
    second_config = LoraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    pair.both(lambda model: model.add_adapter("second", deepcopy(second_config)))
    pair.copy_adapters("second")
    torch.testing.assert_close(pair.compare(), first, **CLOSE)
    pair.both(lambda model: model.set_adapter("second"))
    second = pair.compare()
    assert not torch.allclose(first, second, atol=1e-2)
    pair.both(lambda model: model.base_model.set_adapter(["default", "second"]))
    both = pair.compare()
    assert not torch.allclose(second, both, atol=1e-2)
    pair.both(lambda model: model.delete_adapter("second"))
    pair.both(lambda model: model.set_adapter("default"))
    torch.testing.assert_close(pair.compare(), first, **CLOSE)


def test_scaling_and_factors_are_read_at_every_call(prepare):
    pair = Pair(prepare, target_modules=["c_attn"])
    found = [pair.compare()]

    def factors(model):
        return (m for n, m in model.named_modules() if n.endswith("lora_B.default"))

    def scale(model):
        for module in model.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("default", 0.4)

    def through_data(model):
        for module in factors(model):
            module.weight.data.mul_(1.5)

    def in_place(model):
        with torch.no_grad():
            for module in factors(model):
                module.weight.mul_(1.5)

    for change in (scale, through_data, in_place):
        pair.both(change)
        found.append(pair.compare())
        assert not torch.allclose(*found[-2:], atol=1e-2)


def test_merged_weights_are_those_of_the_textual_branch_too(prepare):
    temporal, textual = build_branches(random_gpt2(**NO_DROPOUT), 2, 4, 16, 0.0)
    for name, parameter in temporal.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    prepare(torch.nn.ModuleList([temporal, textual]))
    x = torch.randn(1, 5, 32)
    before = textual(x)[0]
    assert not adapter_is_merged(temporal)
    temporal.merge_adapter()
    assert adapter_is_merged(temporal)
    assert not torch.allclose(textual(x)[0], before, atol=1e-2)
    temporal.unmerge_adapter()
    assert not adapter_is_merged(temporal)
    torch.testing.assert_close(textual(x)[0], before, **CLOSE)
