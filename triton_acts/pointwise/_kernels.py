"""The four generic kernels of pointwise activations; the device function is a constant of each.

`forward` and `backward` run flat over the storage of dense tensors, for activations whose
parameters are scalars. `channel_forward` and `channel_backward` see a dense tensor as [outer,
channels, inner] and take one weight a channel from memory. All load in the storage dtype, compute
in float32 and store in the dtype of the output pointer.

Full blocks go unmasked, whatever numel is, so that accesses stay 16 bytes wide (a mask that is no
multiple of 16 would turn one load into eight). Bytes moved, with s the item size: forward 2 s
numel, backward 3 s numel, the channel forms the same and 4 bytes a channel and split.
"""

from triton_acts._tiling import own_rows, row_stride
from triton_acts._triton import jit, tl

__all__ = ["backward", "channel_backward", "channel_forward", "forward"]


def _name(suffix):
    """Names a compiled kernel after its device function: what a profiler shows."""

    def representation(specialization):
        return f"pointwise_{specialization.constants['FN'].__name__.strip('_')}{suffix}"

    return representation


@jit(repr=_name(""), do_not_specialize=["numel"])
def forward(x_ptr, y_ptr, numel: tl.int64, coefs, FN: tl.constexpr, BLOCK: tl.constexpr):
    """Stores FN(x, *coefs) in y; coefs are the parameters and `tie_breaker`."""
    start = tl.cast(tl.program_id(0), tl.int64) * BLOCK
    x_ptr += start
    y_ptr += start
    offsets = tl.arange(0, BLOCK)
    if numel - start >= BLOCK:
        x = tl.load(x_ptr + offsets).to(tl.float32)
        tl.store(y_ptr + offsets, FN(x, *coefs).to(y_ptr.dtype.element_ty))
    else:
        mask = offsets < numel - start
        x = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        tl.store(y_ptr + offsets, FN(x, *coefs).to(y_ptr.dtype.element_ty), mask=mask)


@jit(repr=_name("_backward"), do_not_specialize=["numel"])
def backward(s_ptr, g_ptr, dx_ptr, numel: tl.int64, coefs, FN: tl.constexpr, BLOCK: tl.constexpr):
    """Stores g * FN(s, *coefs) in dx; s is what forward saved, its input or its output."""
    start = tl.cast(tl.program_id(0), tl.int64) * BLOCK
    s_ptr += start
    g_ptr += start
    dx_ptr += start
    offsets = tl.arange(0, BLOCK)
    if numel - start >= BLOCK:
        s = tl.load(s_ptr + offsets).to(tl.float32)
        g = tl.load(g_ptr + offsets).to(tl.float32)
        tl.store(dx_ptr + offsets, (g * FN(s, *coefs)).to(dx_ptr.dtype.element_ty))
    else:
        mask = offsets < numel - start
        s = tl.load(s_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(g_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        tl.store(dx_ptr + offsets, (g * FN(s, *coefs)).to(dx_ptr.dtype.element_ty), mask=mask)


@jit
def _own_part(channels, inner, columns, MODE: tl.constexpr, LANES: tl.constexpr):
    """Where a program's part of a row of [channels, inner] starts, and how long it is."""
    if MODE == "shared":
        first = tl.cast(tl.program_id(2), tl.int64) * columns
        left = tl.minimum(columns, inner - first)
    elif MODE == "plane":
        column = tl.cast(tl.program_id(2), tl.int64) * columns
        first = tl.program_id(0) * inner + column
        left = tl.minimum(columns, inner - column)
    else:
        first = tl.cast(tl.program_id(0), tl.int64) * LANES
        left = channels * inner - first
    return first, left


@jit
def _weights(w_ptr, first, left, inner, MODE: tl.constexpr, LANES: tl.constexpr):
    """The weights of a program's lanes  # [1, LANES], or the one that all share  # [1, 1]."""
    lanes = tl.arange(0, LANES)
    if MODE == "shared":
        w = tl.load(w_ptr + tl.arange(0, 1))
    elif MODE == "plane":
        w = tl.load(w_ptr + tl.program_id(0) + tl.arange(0, 1))
    elif MODE == "columns":
        w = tl.load(w_ptr + first + lanes, mask=lanes < left, other=0.0)
    else:
        channel = (tl.cast(first, tl.int32) + lanes) // tl.cast(inner, tl.int32)
        w = tl.load(w_ptr + channel, mask=lanes < left, other=0.0)
    return w[None, :]


@jit
def _extent(left, MODE: tl.constexpr):
    """How far a program's loop over columns goes: once where its lanes are all it owns."""
    extent = left
    if MODE == "columns" or MODE == "small planes":
        extent = tl.cast(1, tl.int64)
    return extent


@jit(repr=_name("_channel"), do_not_specialize=["outer"])
def channel_forward(
    x_ptr,
    w_ptr,
    y_ptr,
    outer: tl.int64,
    channels: tl.int64,
    inner: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    coefs,
    FN: tl.constexpr,
    MODE: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Stores FN(x, w[channel], *coefs) in y; the modes are those of `_per_channel.Tiles`."""
    first, left = _own_part(channels, inner, columns, MODE, LANES)
    w = _weights(w_ptr, first, left, inner, MODE, LANES)
    stride = row_stride(channels, inner, MODE)
    row = tl.arange(0, ROWS)[:, None]
    lane = tl.arange(0, LANES)[None, :]
    local = row * stride + lane
    begin, end = own_rows(outer, rows, MODE)
    for o in range(begin, end, ROWS):
        for i in range(0, _extent(left, MODE), LANES):
            start = o * stride + first + i
            if (end - o >= ROWS) & (left - i >= LANES):
                x = tl.load(x_ptr + start + local).to(tl.float32)
                tl.store(y_ptr + start + local, FN(x, w, *coefs).to(y_ptr.dtype.element_ty))
            else:
                mask = (row < end - o) & (lane < left - i)
                x = tl.load(x_ptr + start + local, mask=mask, other=0.0).to(tl.float32)
                y = FN(x, w, *coefs).to(y_ptr.dtype.element_ty)
                tl.store(y_ptr + start + local, y, mask=mask)


@jit(repr=_name("_channel_backward"), do_not_specialize=["outer"])
def channel_backward(
    x_ptr,
    g_ptr,
    w_ptr,
    dx_ptr,
    dw_ptr,
    outer: tl.int64,
    channels: tl.int64,
    inner: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    coefs,
    FN: tl.constexpr,
    NEED_DX: tl.constexpr,
    NEED_DW: tl.constexpr,
    MODE: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Stores g * dy/dx and partial sums of g * dy/dw; FN(x, w, *coefs) = (dy/dx, dy/dw).

    A program adds up its rows and columns in registers and stores one partial sum a lane, at
    dw[split, lane of a row], or a channel, at dw[split, channel]: no atomics, and an order that
    only the shape decides.
    """
    first, left = _own_part(channels, inner, columns, MODE, LANES)
    w = _weights(w_ptr, first, left, inner, MODE, LANES)
    stride = row_stride(channels, inner, MODE)
    row = tl.arange(0, ROWS)[:, None]
    lane = tl.arange(0, LANES)[None, :]
    local = row * stride + lane
    begin, end = own_rows(outer, rows, MODE)
    total = tl.zeros([ROWS, LANES], tl.float32)
    for o in range(begin, end, ROWS):
        for i in range(0, _extent(left, MODE), LANES):
            start = o * stride + first + i
            if (end - o >= ROWS) & (left - i >= LANES):
                x = tl.load(x_ptr + start + local).to(tl.float32)
                g = tl.load(g_ptr + start + local).to(tl.float32)
                slope, weight_slope = FN(x, w, *coefs)
                if NEED_DX:
                    tl.store(dx_ptr + start + local, (g * slope).to(dx_ptr.dtype.element_ty))
                if NEED_DW:
                    total += g * weight_slope
            else:
                mask = (row < end - o) & (lane < left - i)
                x = tl.load(x_ptr + start + local, mask=mask, other=0.0).to(tl.float32)
                g = tl.load(g_ptr + start + local, mask=mask, other=0.0).to(tl.float32)
                slope, weight_slope = FN(x, w, *coefs)
                if NEED_DX:
                    dx = (g * slope).to(dx_ptr.dtype.element_ty)
                    tl.store(dx_ptr + start + local, dx, mask=mask)
                if NEED_DW:
                    total += g * weight_slope
    if NEED_DW:
        split = tl.cast(tl.program_id(1), tl.int64) * tl.num_programs(2) + tl.program_id(2)
        partial = tl.sum(total, axis=0)  # [LANES]
        if MODE == "columns" or MODE == "small planes":
            lanes = tl.arange(0, LANES)
            tl.store(dw_ptr + split * stride + first + lanes, partial, mask=lanes < left)
        else:
            tl.store(dw_ptr + split * channels + tl.program_id(0), tl.sum(partial, axis=0))
