"""Small models with KAF layers, and what must not change when tools look at them."""

import copy

import torch

import triton_acts as ta

__all__ = ["Net", "batch", "snapshot", "unchanged"]


class Net(torch.nn.Module):
    """A convolution, statistics, noise, a layer that is called twice, and one that nobody calls."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3)
        self.first = ta.KAF(3, init=torch.tanh)
        self.dropout = torch.nn.Dropout(0.3)
        self.linear = torch.nn.Linear(3, 3)
        self.again = ta.KAF(1, 12, grid=(-0.5, 0.75), init="identity", channel_dim=-1)
        self.idle = ta.KAF(2)

    def forward(self, x, *, scale=1.0):
        h = self.dropout(self.first(self.norm(self.conv(x * scale))))
        h = self.again(self.linear(h.movedim(1, -1)))
        return self.again(x=h)


def batch(n=8):
    return 1.5 * torch.randn(n, 2, 6, 6)


def snapshot(model):
    """All that a look at a model may not change."""
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "tensors": {k: id(v) for k, v in model.state_dict(keep_vars=True).items()},
        "grads": {k: copy.deepcopy(p.grad) for k, p in model.named_parameters()},
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()],
        "random": torch.get_rng_state(),
    }


def unchanged(model, before, but=()):
    """True if all is as it was; `but` names the parts of a snapshot that may differ."""
    now = snapshot(model)
    for part in set(before) - set(but):
        assert str(now[part]) == str(before[part]), part
        if part in ("state", "grads"):
            for key, value in before[part].items():
                same = value is now[part][key] or torch.equal(value, now[part][key])
                assert same, (part, key)
    if "random" not in but:
        assert torch.equal(now["random"], before["random"])
    return True
