"""Memory whose surroundings are watched: nothing beside a tensor is written, nor read into a sum.

The surroundings are larger than a tile, so that a kernel without its mask writes there and does not
end the process.
"""

import torch

__all__ = ["Canaries"]

VALUE = -0.5  # no activation maps it on itself, and as x and g it adds to every weight's gradient
MARGIN = 2**17  # elements on each side
ALLOCATORS = [
    *((torch, name) for name in ("empty", "empty_like", "zeros", "zeros_like")),
    *((torch.Tensor, name) for name in ("new_empty", "new_zeros")),
]


class Canaries:
    """Puts tensors `offset` elements after a 16-byte boundary, into canaries."""

    def __init__(self, offset=0):
        self.offset, self.buffers = offset, []

    def around(self, x):
        """A copy of a dense tensor, with its strides."""
        with torch.no_grad():
            buffer = x.new_full((x.numel() + self.offset + 2 * MARGIN,), VALUE)
            start = MARGIN + self.offset
            inside = buffer.as_strided(x.shape, x.stride(), start)
            inside.copy_(x)
        self.buffers.append((buffer, start, start + x.numel()))
        return inside

    def watch(self, monkeypatch):
        """Lets every allocation lie in canaries; what is not zero is NaN."""
        for owner, name in ALLOCATORS:
            real = getattr(owner, name)

            def allocated(*args, real=real, fresh="empty" in name, **kwargs):
                made = real(*args, **kwargs)
                if not made.is_floating_point() or made.is_meta:
                    return made
                return self.around(made.fill_(torch.nan) if fresh else made)

            monkeypatch.setattr(owner, name, allocated)

    def check(self):
        """Asserts that all canaries are as they were."""
        for buffer, start, end in self.buffers:
            assert (buffer[:start] == VALUE).all(), "written before a tensor"
            assert (buffer[end:] == VALUE).all(), "written after a tensor"
