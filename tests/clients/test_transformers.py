"""`transformers` models of random weights, with our activations as their activation modules."""

import copy
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported; nothing is downloaded

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)
from transformers.activations import ACT2FN

import triton_acts as ta

WORDS, STEPS, INNER = 40, 20, 32

ACTIVATIONS = {
    "scaled_sigmoid": ta.ScaledSigmoid,
    "penalized_tanh": ta.PenalizedTanh,
    "learned": lambda: ta.PenalizedTanh(num_parameters=INNER, channel_dim=-1),
    "kaf": lambda: ta.KAF(INNER, channel_dim=-1),
}


def bert(*names):
    """Two layers, each with the activation that is its turn."""
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=INNER,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(config)
    for i, layer in enumerate(model.bert.encoder.layer):
        layer.intermediate.intermediate_act_fn = ACTIVATIONS[names[i % len(names)]]()
    return model


def gpt2(*names):
    """The same of the other architecture."""
    config = GPT2Config(
        vocab_size=WORDS,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_inner=INNER,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    for i, block in enumerate(model.transformer.h):
        block.mlp.act = ACTIVATIONS[names[i % len(names)]]()
    return model


ARCHITECTURES = pytest.mark.parametrize("build", [bert, gpt2])


def train(model, call):
    """The losses, and the gradients of the first step by name; all gradients are finite."""
    words = torch.randint(WORDS, (4, 12))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    losses, first = [], {}
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = call(input_ids=words).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten())
        loss.backward()
        named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert all(g.isfinite().all() for g in named.values())
        first = first or {name: g.clone() for name, g in named.items()}
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), first


@ARCHITECTURES
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_trains(build, name):
    model = build(name)
    before = {n: p.clone() for n, p in model.named_parameters()}
    losses, first = train(model, model)
    assert losses[-1] < 0.5 * losses[0]
    ours = {n for n, m in model.named_modules() if type(m).__module__.startswith("triton_acts.")}
    assert len(ours) == 2
    weights = [n for n in first if n.rpartition(".")[0] in ours]
    assert len(weights) == (2 if name in ("learned", "kaf") else 0)
    for n in weights:
        assert first[n].any()
        assert not torch.equal(model.get_parameter(n), before[n])


@pytest.mark.parametrize(
    ("build", "names", "backend"),
    [
        (bert, ("penalized_tanh", "kaf"), "aot_eager"),  # inductor takes a minute for KAF
        (gpt2, ("scaled_sigmoid", "learned"), "inductor"),
    ],
)
def test_compiled_as_eager(build, names, backend):
    """As one graph."""
    torch._dynamo.reset()
    model = build(*names)
    twin = copy.deepcopy(model)
    found = []
    for trained, call in (
        (model, model),
        (twin, torch.compile(twin, backend=backend, fullgraph=True)),
    ):
        torch.manual_seed(1)
        found.append(train(trained, call))
    (losses, first), (compiled_losses, compiled_first) = found
    assert_close(compiled_first, first, rtol=1e-3, atol=1e-5)
    assert_close(compiled_losses, losses, rtol=1e-2, atol=0)


@pytest.fixture
def registered():
    before = dict(ACT2FN.items())  # not by [], which builds a module
    yield ta.register_transformers()
    for name in ACT2FN.keys() - before:
        del ACT2FN[name]
    assert dict(ACT2FN.items()) == before


def test_named_in_a_configuration(registered):
    """As entries of transformers' table, by which it builds a model from a configuration."""
    assert registered == ("scaled_sigmoid", "penalized_tanh") == ta.register_transformers()
    for name in registered:
        config = GPT2Config(
            vocab_size=WORDS, n_embd=16, n_layer=1, n_head=2, activation_function=name
        )
        model = GPT2LMHeadModel(GPT2Config.from_dict(config.to_dict()))
        assert type(model.transformer.h[0].mlp.act) is ACTIVATIONS[name]


@pytest.mark.parametrize("example", [None, {"input_ids": torch.zeros(2, 12, dtype=torch.int64)}])
@ARCHITECTURES
def test_swapped_into(build, example):
    """Its models cannot be traced as a whole; the layer before is found in the block."""
    model = build("penalized_tanh", "scaled_sigmoid")
    kinds = {ta.PenalizedTanh: "kaf", ta.ScaledSigmoid: "kaf"}
    report = ta.swap(model, kinds, example=example)
    assert report.model is model
    found = [(r.module.alpha.shape[0], r.module.channel_dim) for r in report.replaced]
    assert found == [(INNER, -1)] * 2


@ARCHITECTURES
def test_saved_and_loaded(build, tmp_path):
    """save_pretrained keeps the weights of ours under their names, in safetensors."""
    model = build("kaf").eval()
    model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    assert sum(name.endswith((".alpha", ".grid", ".gamma")) for name in state) == 6
    other = build("kaf").eval()
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    words = torch.arange(12).view(1, 12)
    assert torch.equal(other(words).logits, model(words).logits)
    assert not [name for name in missing if "act" in name]
