"""The four generic kernels of pointwise activations; the device function is a constant of each.

`forward` and `backward` run flat over the storage of dense tensors, for activations whose
parameters are scalars. `channel_forward` and `channel_backward` see a dense tensor as [outer,
channels, inner] and take one weight a channel from memory. All load in the storage dtype, compute
in float32 and store in the dtype of the output pointer.

Full blocks go unmasked, whatever numel is, so that accesses stay 16 bytes wide (a mask that is no
multiple of 16 would turn one load into eight). Bytes moved, with s the item size: forward 2 s
numel, backward 3 s numel, the channel forms the same and 4 bytes a channel and split.
"""

from .._triton import jit, tl

__all__ = ["backward", "channel_backward", "channel_forward", "forward"]


def _name(suffix):
    """Names a compiled kernel after its device function: what a profiler shows."""

    def representation(specialization):
        return f"pointwise_{specialization.constants['FN'].__name__.strip('_')}{suffix}"

    return representation


@jit(repr=_name(""), do_not_specialize=["numel"])
def forward(x_ptr, y_ptr, numel: tl.int64, coefs, FN: tl.constexpr, BLOCK: tl.constexpr):
    """Y = FN(x, *coefs)."""
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
    """Dx = g * FN(s, *coefs); s is what forward saved, its input or its output."""
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
def _tile(channels, inner, OUTER: tl.constexpr, CHANNELS: tl.constexpr, INNER: tl.constexpr):
    """Offsets within a tile, from the address of its first element  # [OUTER, CHANNELS, INNER]."""
    o = tl.arange(0, OUTER)[:, None, None]
    c = tl.arange(0, CHANNELS)[None, :, None]
    return (o * channels + c) * inner + tl.arange(0, INNER)[None, None, :]


@jit
def _inside(
    o_left, c_left, i_left, OUTER: tl.constexpr, CHANNELS: tl.constexpr, INNER: tl.constexpr
):
    """Which elements of a tile exist, given how many rows, channels and columns are left."""
    o = tl.arange(0, OUTER)[:, None, None] < o_left
    c = tl.arange(0, CHANNELS)[None, :, None] < c_left
    return o & c & (tl.arange(0, INNER)[None, None, :] < i_left)


@jit
def _first_channel(CHANNELS: tl.constexpr, INNER: tl.constexpr):
    """The first channel of a tile; 0, known to the compiler, for the shared weight's tile."""
    c_first = tl.cast(tl.program_id(0), tl.int64) * CHANNELS
    if CHANNELS == 1 and INNER == 1:
        c_first = tl.cast(0, tl.int64)
    return c_first


@jit
def _columns(inner, columns, INNER: tl.constexpr):
    """The part of the inner extent that belongs to this program."""
    begin = tl.cast(tl.program_id(2), tl.int64) * columns
    end = tl.minimum(begin + columns, inner)
    if INNER == 1:
        begin = tl.cast(0, tl.int64)
        end = tl.cast(1, tl.int64)
    return begin, end


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
    OUTER: tl.constexpr,
    CHANNELS: tl.constexpr,
    INNER: tl.constexpr,
):
    """Y = FN(x, w[channel], *coefs); a program owns some channels, `rows` of outer, `columns` of inner."""
    c_first = _first_channel(CHANNELS, INNER)
    c = c_first + tl.arange(0, CHANNELS)
    w = tl.load(w_ptr + c, mask=c < channels, other=0.0)[None, :, None]
    local = _tile(channels, inner, OUTER, CHANNELS, INNER)
    o_begin = tl.cast(tl.program_id(1), tl.int64) * rows
    o_end = tl.minimum(o_begin + rows, outer)
    i_begin, i_end = _columns(inner, columns, INNER)
    for o in range(o_begin, o_end, OUTER):
        for i in range(i_begin, i_end, INNER):
            start = (o * channels + c_first) * inner + i
            if (o_end - o >= OUTER) & (channels - c_first >= CHANNELS) & (i_end - i >= INNER):
                x = tl.load(x_ptr + start + local).to(tl.float32)
                tl.store(y_ptr + start + local, FN(x, w, *coefs).to(y_ptr.dtype.element_ty))
            else:
                mask = _inside(o_end - o, channels - c_first, i_end - i, OUTER, CHANNELS, INNER)
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
    OUTER: tl.constexpr,
    CHANNELS: tl.constexpr,
    INNER: tl.constexpr,
):
    """Dx = g * dy/dx and partial sums of g * dy/dw, where FN(x, w[channel], *coefs) = (dy/dx, dy/dw).

    A program adds up its rows and columns in registers and stores one partial sum a channel, at
    dw[split, channel]: no atomics, and an order that only the shape decides.
    """
    c_first = _first_channel(CHANNELS, INNER)
    c = c_first + tl.arange(0, CHANNELS)
    w = tl.load(w_ptr + c, mask=c < channels, other=0.0)[None, :, None]
    local = _tile(channels, inner, OUTER, CHANNELS, INNER)
    o_begin = tl.cast(tl.program_id(1), tl.int64) * rows
    o_end = tl.minimum(o_begin + rows, outer)
    i_begin, i_end = _columns(inner, columns, INNER)
    total = tl.zeros([OUTER, CHANNELS, INNER], tl.float32)
    for o in range(o_begin, o_end, OUTER):
        for i in range(i_begin, i_end, INNER):
            start = (o * channels + c_first) * inner + i
            if (o_end - o >= OUTER) & (channels - c_first >= CHANNELS) & (i_end - i >= INNER):
                x = tl.load(x_ptr + start + local).to(tl.float32)
                g = tl.load(g_ptr + start + local).to(tl.float32)
                slope, weight_slope = FN(x, w, *coefs)
                if NEED_DX:
                    tl.store(dx_ptr + start + local, (g * slope).to(dx_ptr.dtype.element_ty))
                if NEED_DW:
                    total += g * weight_slope
            else:
                mask = _inside(o_end - o, channels - c_first, i_end - i, OUTER, CHANNELS, INNER)
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
        partial = tl.sum(tl.sum(total, axis=2), axis=0)
        tl.store(dw_ptr + split * channels + c, partial, mask=c < channels)
