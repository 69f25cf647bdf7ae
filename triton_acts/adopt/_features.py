"""The layers whose output has a known number of channels in a known dimension."""

from __future__ import annotations

from torch import nn

from ._replacements import Channels

__all__ = ["features_of", "keeps_channels", "pools"]

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_FEATURE_NORMS = (nn.modules.batchnorm._NormBase,)  # batch and instance norms
_LAST_NORMS = (nn.LayerNorm, nn.RMSNorm)
_ELEMENTWISE = (
    nn.Identity,
    nn.modules.dropout._DropoutNd,
    nn.LocalResponseNorm,
    *(
        getattr(nn, name)
        for name in nn.modules.activation.__all__
        if name not in ("GLU", "MultiheadAttention", "Softmax2d")
    ),
)
_SPATIAL = (
    *(getattr(nn, name) for name in nn.modules.pooling.__all__),
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._CircularPadNd,
    nn.Upsample,
)


def features_of(module: nn.Module) -> Channels | None:
    """The channels of what a layer returns, or None if its type does not say."""
    kind, found = type(module), None
    if isinstance(module, (nn.Linear, nn.Bilinear)):
        found = Channels(module.out_features, -1)
    elif isinstance(module, nn.Embedding):
        found = Channels(module.embedding_dim, -1)
    elif isinstance(module, _CONVOLUTIONS):
        found = Channels(module.out_channels, 1)
    elif isinstance(module, _FEATURE_NORMS):
        found = Channels(module.num_features, 1)
    elif isinstance(module, nn.GroupNorm):
        found = Channels(module.num_channels, 1)
    elif isinstance(module, _LAST_NORMS) and len(module.normalized_shape) == 1:
        found = Channels(module.normalized_shape[0], -1)
    elif (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D"):
        found = Channels(module.get_parameter("weight").shape[1], -1)  # a Linear, transposed
    return found if found is not None and found.count else None  # a lazy norm has 0 so far


def keeps_channels(module: nn.Module) -> bool:
    """Whether its output has its input's shape."""
    return isinstance(module, (*_ELEMENTWISE, *_LAST_NORMS)) or type(module).__module__.startswith(
        "triton_acts."
    )


def pools(module: nn.Module) -> bool:
    """Whether its output has its input's channels, if those are not in the last dimensions."""
    return isinstance(module, _SPATIAL)
