"""KAF for inference."""

from __future__ import annotations

from triton_acts.dictionary import KAF, FrozenKAF

from ._observe import single

__all__ = ["freeze"]


def freeze(kaf: KAF) -> FrozenKAF:
    """A copy of a layer without parameters, for inference and export.

    It computes the same outputs, on a GPU with the same kernels. The polynomials' coefficients
    (`beta`) are ready, so that the graphs of torch.compile, torch.export and ONNX begin with them.
    Put it in the layer's place, for example `model.set_submodule(name, freeze(kaf))`.

    Raises:
        TypeError: kaf is no KAF.
    """
    return FrozenKAF(single("freeze", kaf))
