"""Every fast path against the plain one, in float32 to 1e-5: the layers one by one, then the whole
model, in training (without dropout) with all gradients, and in evaluation."""

from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from torch.optim import Adam
from transformers import GPT2Config, GPT2Model
from transformers.pytorch_utils import Conv1D

from exp.exp_basic import PROJECTION_LEARNING_RATE
from exp.step import CPU_PASS_TOKENS, Optimisers, passes
from layers import linear as products
from layers.dropout import LEVELS, dropout
from layers.linear import Linear, by_onednn, conv1d, frozen_mlp, linear
from models.CALF import CALFConfig, Model
from scripts.reference_way import ReferenceWay
from utils.losses import CALFLoss, Share

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)).item()


def gradients(y, *inputs):
    torch.manual_seed(5)
    return torch.autograd.grad(y, inputs, torch.randn_like(y))


@pytest.mark.parametrize("out", [3, 40])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 1), (2, 3, 4)])
def test_linear(out, bias, shape):
    torch.manual_seed(0)
    x = torch.randn(*shape, 17, requires_grad=True)
    module = Linear(17, out, bias=bias)
    inputs = [x, *module.parameters()]
    expected = F.linear(x, module.weight, module.bias)
    torch.testing.assert_close(module(x), expected, **CLOSE)
    for ours, theirs in zip(
        gradients(module(x), *inputs), gradients(expected, *inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(module(x), expected, **CLOSE)


def test_linear_elsewhere():
    weight = torch.randn(4, 6)
    assert by_onednn(torch.randn(2, 6), weight) == products.ONEDNN
    assert not by_onednn(torch.randn(2, 6).double(), weight.double())
    assert not by_onednn(torch.randn(0, 6), weight)
    assert linear(torch.randn(0, 6), weight).shape == (0, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert not by_onednn(torch.randn(2, 6), weight)
        assert linear(torch.randn(2, 6), weight).dtype == torch.bfloat16


@pytest.mark.parametrize("frozen", [True, False])
def test_projections_of_gpt2(frozen):
    torch.manual_seed(0)
    c_fc, c_proj = Conv1D(64, 24), Conv1D(24, 64)
    for module in (c_fc, c_proj):
        module.requires_grad_(not frozen)
        torch.nn.init.normal_(module.bias)
    x = torch.randn(2, 5, 24, requires_grad=True)
    torch.testing.assert_close(conv1d(x, c_fc), c_fc(x), **CLOSE)
    torch.testing.assert_close(gradients(conv1d(x, c_fc), x), gradients(c_fc(x), x), **CLOSE)
    plain = c_proj(F.gelu(c_fc(x), approximate="tanh"))
    ours = frozen_mlp(x, c_fc, c_proj)
    torch.testing.assert_close(ours, plain, **CLOSE)
    torch.testing.assert_close(gradients(ours, x), gradients(plain, x), **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(frozen_mlp(x, c_fc, c_proj), plain, **CLOSE)


def test_a_changed_weight_is_laid_out_anew():
    module = Conv1D(8, 4).requires_grad_(False)
    x = torch.randn(3, 4)
    conv1d(x, module)
    with torch.no_grad():
        module.weight.mul_(2)
    torch.testing.assert_close(conv1d(x, module), module(x), **CLOSE)
    module.weight.data = torch.randn(4, 8)
    torch.testing.assert_close(conv1d(x, module), module(x), **CLOSE)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(p):
    torch.manual_seed(0)
    x = torch.ones(400, 1001, requires_grad=True)
    y = dropout(x, p, True)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.004)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    kept = 1 / (1 - round(p * LEVELS) / LEVELS)
    assert torch.allclose(y[y != 0], torch.tensor(kept))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)
    assert not torch.equal(dropout(x, p, True), y)
    torch.manual_seed(0)
    assert torch.equal(dropout(x, p, True), y)


def test_dropout_of_nothing_and_of_all():
    x = torch.randn(5)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x
    assert not dropout(x, 1.0, True).any()


@pytest.fixture
def model():
    """A model without dropout whose LoRA has learned something."""
    torch.manual_seed(1)
    config = GPT2Config(
        n_embd=48, n_layer=3, n_head=4, n_positions=300, vocab_size=20, bos_token_id=0,
        eos_token_id=0, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    config = (
        CALFConfig(
            seq_len=16, pred_len=5, d_model=48, gpt_layers=3, lora_dropout=0.0, match_heads=4
        ),
        GPT2Model(config),
    )
    model = Model(*config, torch.randn(48, 9))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize("channels", [1, 3, 40, 290])
@pytest.mark.parametrize("training", [True, False])
def test_the_whole_model(model, channels, training):
    model.train(training)
    x, y = torch.randn(3, 16, channels), torch.randn(3, 5, channels)
    loss = CALFLoss(F.l1_loss, F.smooth_l1_loss, lambda gap: gap.square().mean())
    fast, plain = model(x, text_branch=True), ReferenceWay(model)(x)
    for name in ("outputs_time", "outputs_text"):
        assert relative(getattr(fast, name), getattr(plain, name)) < 1e-5
    for ours, theirs in zip(fast.features_time, plain.features_time, strict=True):
        assert relative(ours, theirs) < 1e-5
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    results = [
        torch.autograd.grad(loss(output, y), list(parameters.values())) for output in (fast, plain)
    ]
    for name, ours, theirs in zip(parameters, *results, strict=True):
        scale = theirs.norm() + 1e-3 * results[1][0].norm()  # keys' biases have no gradient
        assert (ours - theirs).norm() / scale < 1e-5, name


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_folded_lora(model, mode):
    model.eval()
    x = torch.randn(3, 16, 7)
    plain = ReferenceWay(model)(x).outputs_time
    with mode():
        assert relative(model(x).outputs_time, plain) < 1e-5
    attention = model.gpt2.get_base_model().h[0].attn
    assert attention.folded._made is not None
    before = attention.c_attn.base_layer.weight.clone()
    with torch.no_grad():  # what is folded follows the parameters
        attention.c_attn.lora_B["default"].weight.add_(0.3)
        changed = ReferenceWay(model)(x).outputs_time
        assert relative(changed, plain) > 1e-3
        assert relative(model(x).outputs_time, changed) < 1e-5
    assert torch.equal(attention.c_attn.base_layer.weight, before)
    model.train()
    assert attention.folded._made is None
    model(x).outputs_time.sum().backward()  # what evaluation left behind is fit for training


def test_checkpointed_blocks(model):
    x = torch.randn(4, 16, 3)
    for module in model.modules():
        for name in ("attn_pdrop", "resid_pdrop"):
            if hasattr(module, name):
                setattr(module, name, 0.2)  # what is dropped must be dropped again
    found = []
    for enabled in (False, True):
        model.grad_checkpoint(enabled)
        model.zero_grad()
        torch.manual_seed(0)
        model(x).outputs_time.square().mean().backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_passes_add_up(model, batch_size):
    model.train()
    x, y = torch.randn(7, 16, 3), torch.randn(7, 5, 3)
    loss = CALFLoss(F.l1_loss, F.l1_loss, lambda gap: gap.abs().mean())
    loss(model(x), y).backward()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    cut = passes((x, y), 3, batch_size)
    assert [number for number, _, _ in cut] == list(range(-(-7 // batch_size)))
    assert sum(share.windows for _, _, share in cut) == pytest.approx(1)
    for _, (part_x, part_y), share in cut:
        loss(model(part_x), part_y, share=share).backward()
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_passes_of_unequal_targets(model):
    """Means over masked entries alone weigh the passes by their entries."""
    model.train()
    x = torch.randn(4, 5, 3)
    masked = torch.rand(4, 5, 3) < torch.tensor([0.1, 0.9, 0.5, 0.0])[:, None, None]
    masked[0, 0, 0] = True
    loss = CALFLoss(F.mse_loss, F.l1_loss, lambda gap: gap.abs().mean(), feature_w=0.3)

    def of(rows, share):
        output = model(torch.cat([x, x, x, x[:, :1]], dim=1)[rows])
        pick = lambda y: y[masked[rows]]  # noqa: E731
        return loss(
            output, x[masked & torch.zeros_like(masked).index_fill(0, rows, 1)], pick, share
        )

    every = torch.arange(4)
    whole = of(every, None)
    scored = masked.sum(dim=(1, 2))
    cut = passes((every,), 3, 1, scored=scored)
    total = sum(of(rows, share) for _, (rows,), share in cut)
    torch.testing.assert_close(total, whole, **CLOSE)


def test_passes_on_the_cpu_hold_so_many_tokens():
    x = torch.zeros(256, 1)
    assert len(passes((x,), 7, 256)) == -(-256 // (CPU_PASS_TOKENS // 7))
    assert len(passes((x[:8],), 862, 8)) == 8
    assert len(passes((x[:2],), 1, 2, at_least=3)) == 2
    assert isinstance(passes((x[:2],), 1, 2)[0][2], Share)


def test_guarded_steps_are_adams(model):
    """Three steps of the fused optimisers, one of them left out, against PyTorch's plain Adam."""
    args = Namespace(learning_rate=1e-3, amp="no")
    ours = Optimisers(model, args, PROJECTION_LEARNING_RATE)
    copies = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    main = [n for n in copies if "_proj" not in n]
    rates = [(main, 1e-3), ([n for n in copies if n not in main], PROJECTION_LEARNING_RATE)]
    plain = [Adam([copies[n] for n in names], lr=rate, foreach=False) for names, rate in rates]
    named = dict(model.named_parameters())
    for step, loss in enumerate([1.0, float("nan"), 2.0]):
        torch.manual_seed(step)
        for name in copies:
            named[name].grad = torch.randn_like(named[name])
            copies[name].grad = named[name].grad.clone()
        bad = ours.step(torch.tensor(loss), torch.tensor(False))
        assert bad.item() == (loss != loss)
        if loss == loss:
            for optimiser in plain:
                optimiser.step()
    named["out_layer.weight"].grad[0, 0] = float("inf")
    assert ours.step(torch.tensor(1.0), torch.tensor(False)).item()
    for name, theirs in copies.items():
        torch.testing.assert_close(named[name].detach(), theirs, rtol=1e-5, atol=1e-7)
