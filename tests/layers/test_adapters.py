"""What peft does to a language model acts on fast modules as it does on the library's own."""

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from layers.branches import adapter_is_merged
from layers.fast_cpu import install
from tests.layers.families import FAMILIES, WIDTH, small_model

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ATTENTION = {"gpt2": ["c_attn"], "llama": ["q_proj", "v_proj"]}
EVERYWHERE = {
    "gpt2": ["c_attn", "c_fc", "c_proj"],
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


@pytest.fixture(params=ATTENTION)
def family(request) -> str:
    return request.param


class Pair:
    """A model on fast modules and one on plain ones, with the same weights and adapters."""

    def __init__(self, family: str, targets: list[str], **lora):
        backbone = small_model(FAMILIES[family])
        self.fan_in_fan_out = family == "gpt2"
        config = self.lora(r=3, lora_alpha=8, target_modules=targets, **lora)
        self.branch = get_peft_model(deepcopy(backbone).requires_grad_(False), config)
        self.theirs = get_peft_model(backbone.requires_grad_(False), deepcopy(config))
        self.copy_adapters()
        assert install(self.branch) > 0
        self.x = torch.randn(2, 5, WIDTH)

    def lora(self, **more) -> LoraConfig:
        return LoraConfig(fan_in_fan_out=self.fan_in_fan_out, **more)

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
            ours = self.branch(inputs_embeds=x).last_hidden_state
            theirs = self.theirs(inputs_embeds=their_x).last_hidden_state
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
                torch.testing.assert_close(
                    self.branch(inputs_embeds=self.x).last_hidden_state, theirs, **CLOSE
                )
        return theirs.detach()


@pytest.mark.parametrize("targets", [ATTENTION, EVERYWHERE])
@pytest.mark.parametrize("more", [{}, {"use_dora": True}, {"lora_bias": True}])
def test_lora(family, targets, more):
    pair = Pair(family, targets[family], **more)
    adapted = pair.compare()
    with torch.no_grad(), pair.branch.disable_adapter():
        plain = pair.branch(inputs_embeds=pair.x).last_hidden_state
    assert not torch.allclose(plain, adapted, atol=1e-2)


@pytest.mark.parametrize("targets", [ATTENTION, EVERYWHERE])
@pytest.mark.parametrize("use_dora", [False, True])
def test_disabled_and_merged_adapters(family, targets, use_dora):
    pair = Pair(family, targets[family], use_dora=use_dora)
    adapted = pair.compare()
    pair.both(lambda model: model.base_model.disable_adapter_layers())
    assert not torch.allclose(pair.compare(), adapted, atol=1e-2)
    pair.both(lambda model: model.base_model.enable_adapter_layers())
    torch.testing.assert_close(pair.compare(), adapted, **CLOSE)
    for safe_merge in (False, True):
        pair.both(lambda model, safe=safe_merge: model.merge_adapter(safe_merge=safe))
        assert adapter_is_merged(pair.branch)
        torch.testing.assert_close(pair.compare(), adapted, rtol=1e-4, atol=1e-4)
        pair.both(lambda model: model.unmerge_adapter())
        assert not adapter_is_merged(pair.branch)
        torch.testing.assert_close(pair.compare(), adapted, rtol=1e-4, atol=1e-4)


def test_scaling_and_factors_are_read_at_every_call(family):
    pair = Pair(family, ATTENTION[family])
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
