"""Values and gradients of a subject beside its formula's, and how far they may lie apart."""

import torch

__all__ = ["assert_close", "evaluate", "expected", "tensors_of"]


def tensors_of(subject, x):
    """x and weights for its channels: a row each, or one where x has no dimension for them."""
    channels = x.shape[subject.channel_dim] if x.dim() > 1 else 1
    return x, *subject.weights(channels, device=x.device)


def evaluate(f, tensors, g=None):
    """y and the gradients of all tensors, g being 1 by default."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    y = f(*leaves)
    g = torch.ones_like(y) if g is None else g
    return y.detach(), *torch.autograd.grad(y, leaves, g)


def expected(subject, tensors, g=None):
    """The same of the formula in float64."""
    x = tensors[0]
    return evaluate(
        lambda *t: subject.formula(*t).reshape(x.shape),
        [t.double() for t in tensors],
        None if g is None else g.double(),
    )


def assert_close(subject, found, tensors, g, kernels, ulps=64):
    """Holds y and the gradients against the formula's, in units of what they are made of.

    Kernels keep every digit of a derivative's tail; PyTorch's own `1 - t^2`, and a derivative from
    a rounded output, are right to ULPs of the largest slope.
    """
    x = tensors[0]
    right, eps = expected(subject, tensors, g), torch.finfo(x.dtype).eps
    g = torch.ones_like(x) if g is None else g
    size = g.double().abs()
    tiny = torch.finfo(x.dtype).tiny
    if subject.dictionary:
        largest = tensors[1].double().abs().sum(1).max()
        steep = 2 * subject.dictionary.gamma**0.5
        slack = [1e-6 * largest + tiny, 1e-6 * steep * largest * size + tiny]
    elif subject.row is not None:
        slack = [1e-7 + tiny, 1e-6 * size + tiny]
    else:
        slack = [tiny, tiny]
    if subject.from_output or not kernels:
        slack[1] = slack[1] + 8 * eps * size
    relative = [ulps * eps, ulps * eps, 1e-5]
    if len(tensors) > 1:
        rows = tensors[1].shape[0]
        dims = [d for d in range(x.dim()) if d != 1 or rows == 1]
        sums = size.sum(dims).view(rows, *[1] * (tensors[1].dim() - 1)) if dims else size
        slack.append((1e-6 if kernels or subject.dictionary else 1e-6 + eps) * sums)
    assert 0 < len(found) <= len(right)  # y alone, or y and dx, where the rest is not at hand
    for value, reference, rtol, atol in zip(found, right, relative, slack, strict=False):
        away = (value.double() - reference).abs() - rtol * reference.abs() - atol
        assert not away.isnan().any()
        assert (away <= 0).all(), f"{subject.name}: {away.max().item():.2e} too far"
