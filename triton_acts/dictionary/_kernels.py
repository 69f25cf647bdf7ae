"""KAF's kernels; what evaluates a group of nodes, factored or directly, is a constant of each.

A dense tensor is seen as rows of [channels, inner]; `_tiles` says how they are cut. In mode "lanes"
inner is 1 and a lane keeps the weights of its channel, in modes "plane" and "shared" a program has
one channel, whose weights are scalars. Tuples of tensors, one a node, hold the weights and the sums
of a program in registers.

All load in the storage dtype, compute in float32 and store in the dtype of the output pointer. Full
tiles go unmasked so that accesses stay wide. Bytes moved, with s the item size: forward 2 s numel,
backward 3 s numel, and a few weights and partial sums a program.
"""

from triton_acts._tiling import own_rows, row_stride
from triton_acts._triton import jit, tl

from ._groups import load_points, load_weights

__all__ = ["backward", "forward"]


def _name(suffix, function):
    """Names a compiled kernel after what evaluates its nodes: what a profiler shows."""

    def representation(specialization):
        return f"kaf_{specialization.constants[function].__name__.split('_')[0]}{suffix}"

    return representation


@jit
def _own_part(channels, inner, columns, MODE: tl.constexpr, LANES: tl.constexpr):
    """Where a program's part of a row of [channels, inner] starts, and how long it is."""
    if MODE == "lanes":
        first = tl.cast(tl.program_id(0), tl.int64) * LANES
        left = channels - first
    elif MODE == "plane":
        column = tl.cast(tl.program_id(2), tl.int64) * columns
        first = tl.program_id(0) * inner + column
        left = tl.minimum(columns, inner - column)
    else:
        first = tl.cast(tl.program_id(2), tl.int64) * columns
        left = tl.minimum(columns, inner - first)
    return first, left


@jit
def _whole_end(begin, end, whole_rows, left, LANES: tl.constexpr, STEP: tl.constexpr):
    """Where rows that are a program's own from the first lane to the last end: whole steps."""
    end = tl.maximum(tl.minimum(end, whole_rows), begin)
    end = begin + (end - begin) // STEP * STEP
    return tl.where(left >= LANES, end, begin)


@jit
def _tile(x_ptr, mask):
    """A tile as it is stored; 0 outside of a mask."""
    return tl.load(x_ptr, mask=mask, other=None if mask is None else 0.0)


@jit
def _forward_tiles(
    x_ptr,
    y_ptr,
    step,
    mask,
    terms,
    VALUE: tl.constexpr,
    FORM: tl.constexpr,
    LANES: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Stores y of UNROLL tiles, `step` apart; loads them all before it computes."""
    source, kept, coefs = terms
    KEPT: tl.constexpr = FORM[4]
    xs = ()
    for u in tl.static_range(UNROLL):
        xs = xs + (_tile(x_ptr + u * step, mask).to(tl.float32),)
    ys = ()
    for u in tl.static_range(UNROLL):
        if KEPT:
            ys = ys + (VALUE(xs[u], kept[0], kept[1], coefs, FORM),)
        else:
            ys = ys + (tl.zeros_like(xs[u]),)
    if not KEPT:
        for group in range(source[4]):
            points = load_points(source, group, FORM)
            weights = load_weights(source, group, FORM, LANES)
            found = ()
            for u in tl.static_range(UNROLL):
                found = found + (ys[u] + VALUE(xs[u], points, weights, coefs, FORM),)
            ys = found
    for u in tl.static_range(UNROLL):
        tl.store(y_ptr + u * step, ys[u].to(y_ptr.dtype.element_ty), mask=mask)


@jit(repr=_name("", "VALUE"), do_not_specialize=["numel", "outer", "whole_rows", "groups"])
def forward(
    x_ptr,
    w_ptr,
    points_ptr,
    y_ptr,
    numel: tl.int64,
    outer: tl.int64,
    whole_rows: tl.int64,
    channels: tl.int64,
    inner: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    w_stride: tl.int64,
    groups: tl.int32,
    coefs,
    VALUE: tl.constexpr,
    FORM: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Stores KAF of x in y."""
    MODE: tl.constexpr = FORM[0]
    first, left = _own_part(channels, inner, columns, MODE, LANES)
    stride = row_stride(channels, inner, MODE)
    begin, end = own_rows(outer, rows, MODE)
    source = (w_ptr, points_ptr, w_stride, first, groups)
    kept = ()
    if FORM[4]:
        kept = (load_points(source, 0, FORM), load_weights(source, 0, FORM, LANES))
    terms = (source, kept, coefs)
    lane = tl.arange(0, LANES)
    if MODE == "lanes":
        whole = _whole_end(begin, end, whole_rows, left, LANES, UNROLL)
        for o in range(begin, whole, UNROLL):
            at = o * stride + first + lane
            _forward_tiles(x_ptr + at, y_ptr + at, stride, None, terms, VALUE, FORM, LANES, UNROLL)
        for o in range(whole, end):
            at = o * stride + first + lane
            mask = (lane < left) & (at < numel)
            _forward_tiles(x_ptr + at, y_ptr + at, stride, mask, terms, VALUE, FORM, LANES, 1)
    else:
        row = tl.arange(0, ROWS)[:, None]
        local = row * stride + lane[None, :]
        for o in range(begin, end, ROWS):
            for i in range(0, left, LANES):
                at = o * stride + first + i + local
                if (end - o >= ROWS) & (left - i >= LANES):
                    _forward_tiles(x_ptr + at, y_ptr + at, 0, None, terms, VALUE, FORM, LANES, 1)
                else:
                    mask = (row < end - o) & (lane[None, :] < left - i)
                    _forward_tiles(x_ptr + at, y_ptr + at, 0, mask, terms, VALUE, FORM, LANES, 1)


@jit
def _backward_tile(
    x,
    g,
    sums,
    terms,
    GRADIENTS: tl.constexpr,
    PASS: tl.constexpr,
    FORM: tl.constexpr,
    LANES: tl.constexpr,
):
    """(dx of a tile, the sums with the tile added).

    First come the groups whose sums this pass collects, then the others for dx.
    """
    source, kept, coefs, first_group = terms
    NEED_DX: tl.constexpr = PASS[0]
    NEED_SUMS: tl.constexpr = PASS[1]
    OWN: tl.constexpr = PASS[2]
    NODES: tl.constexpr = FORM[2]
    KEPT: tl.constexpr = FORM[4]
    dx = tl.zeros_like(x)
    collected = ()
    for k in tl.static_range(OWN):
        mine = ()
        if NEED_SUMS:
            for j in tl.static_range(NODES):
                mine = mine + (sums[k * NODES + j],)
        if KEPT:
            points = kept[k][0]
            weights = kept[k][1]
        else:
            points = load_points(source, first_group + k, FORM)
            weights = ()
            if NEED_DX:
                weights = load_weights(source, first_group + k, FORM, LANES)
        part, mine = GRADIENTS(x, g, points, weights, mine, coefs, NEED_DX, NEED_SUMS, FORM)
        if NEED_DX:
            dx = part if k == 0 else dx + part
        collected = collected + mine
    if NEED_DX and not KEPT:
        for group in range(first_group + OWN, source[4]):
            points = load_points(source, group, FORM)
            weights = load_weights(source, group, FORM, LANES)
            part, _ = GRADIENTS(x, g, points, weights, (), coefs, True, False, FORM)
            dx += part
    return dx * coefs[3], collected


@jit
def _backward_tiles(
    x_ptr,
    g_ptr,
    dx_ptr,
    step,
    mask,
    sums,
    terms,
    GRADIENTS: tl.constexpr,
    PASS: tl.constexpr,
    FORM: tl.constexpr,
    LANES: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Stores dx of UNROLL tiles, `step` apart, and returns the sums with them added."""
    xs = ()
    gs = ()
    for u in tl.static_range(UNROLL):
        xs = xs + (_tile(x_ptr + u * step, mask),)
        gs = gs + (_tile(g_ptr + u * step, mask),)
    for u in tl.static_range(UNROLL):
        x = xs[u].to(tl.float32)
        g = gs[u].to(tl.float32)
        dx, found = _backward_tile(x, g, sums, terms, GRADIENTS, PASS, FORM, LANES)
        if PASS[1]:
            sums = found
        if PASS[0]:
            tl.store(dx_ptr + u * step, dx.to(dx_ptr.dtype.element_ty), mask=mask)
    return sums


@jit(
    repr=_name("_backward", "GRADIENTS"),
    do_not_specialize=["numel", "outer", "whole_rows", "first_group", "groups"],
)
def backward(
    x_ptr,
    g_ptr,
    w_ptr,
    points_ptr,
    dx_ptr,
    sums_ptr,
    numel: tl.int64,
    outer: tl.int64,
    whole_rows: tl.int64,
    channels: tl.int64,
    inner: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    w_stride: tl.int64,
    first_group: tl.int32,
    groups: tl.int32,
    coefs,
    GRADIENTS: tl.constexpr,
    PASS: tl.constexpr,
    FORM: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Stores g * dy/dx, and partial sums of the moments of some groups.

    PASS is (whether dx is made, whether sums are, of how many groups from first_group on). A
    program adds up its rows and columns in registers and stores one partial sum a node and lane, or
    a node and channel, at sums[split, node, channel]: no atomics, and an order that only the shape
    decides.
    """
    MODE: tl.constexpr = FORM[0]
    OWN: tl.constexpr = PASS[2]
    SUMS: tl.constexpr = OWN * FORM[2] if PASS[1] else 0
    first, left = _own_part(channels, inner, columns, MODE, LANES)
    stride = row_stride(channels, inner, MODE)
    begin, end = own_rows(outer, rows, MODE)
    source = (w_ptr, points_ptr, w_stride, first, groups)
    kept = ()
    if FORM[4]:
        for k in tl.static_range(OWN):
            weights = ()
            if PASS[0]:
                weights = load_weights(source, k, FORM, LANES)
            kept = kept + ((load_points(source, k, FORM), weights),)
    terms = (source, kept, coefs, first_group)
    lane = tl.arange(0, LANES)
    sums = ()
    if not PASS[1]:
        sums = (0,)  # Triton cannot carry an empty tuple out of a branch
    for _ in tl.static_range(SUMS):
        sums = sums + (tl.zeros([LANES] if MODE == "lanes" else [ROWS, LANES], tl.float32),)
    if MODE == "lanes":
        whole = _whole_end(begin, end, whole_rows, left, LANES, UNROLL)
        for o in range(begin, whole, UNROLL):
            at = o * stride + first + lane
            x, g, dx = x_ptr + at, g_ptr + at, dx_ptr + at
            sums = _backward_tiles(
                x, g, dx, stride, None, sums, terms, GRADIENTS, PASS, FORM, LANES, UNROLL
            )
        for o in range(whole, end):
            at = o * stride + first + lane
            x, g, dx = x_ptr + at, g_ptr + at, dx_ptr + at
            mask = (lane < left) & (at < numel)
            sums = _backward_tiles(
                x, g, dx, stride, mask, sums, terms, GRADIENTS, PASS, FORM, LANES, 1
            )
    else:
        row = tl.arange(0, ROWS)[:, None]
        local = row * stride + lane[None, :]
        # UNROLL tiles lie below each other, in the one row of "shared" beside each other
        TALL: tl.constexpr = ROWS if MODE == "shared" else ROWS * UNROLL
        WIDE: tl.constexpr = LANES * UNROLL if MODE == "shared" else LANES
        step = LANES if MODE == "shared" else ROWS * stride
        for o in range(begin, end, TALL):
            for i in range(0, left, WIDE):
                at = o * stride + first + i + local
                x, g, dx = x_ptr + at, g_ptr + at, dx_ptr + at
                if (end - o >= TALL) & (left - i >= WIDE):
                    sums = _backward_tiles(
                        x, g, dx, step, None, sums, terms, GRADIENTS, PASS, FORM, LANES, UNROLL
                    )
                else:
                    for u in tl.static_range(UNROLL):
                        down = end - o if MODE == "shared" else end - o - u * ROWS
                        along = left - i - u * LANES if MODE == "shared" else left - i
                        mask = (row < down) & (lane[None, :] < along)
                        x, g, dx = x_ptr + at, g_ptr + at, dx_ptr + at
                        sums = _backward_tiles(
                            x, g, dx, 0, mask, sums, terms, GRADIENTS, PASS, FORM, LANES, 1
                        )
                        at += step
    split = tl.cast(tl.program_id(1), tl.int64) * tl.num_programs(2) + tl.program_id(2)
    for j in tl.static_range(SUMS):
        at = sums_ptr + (split * SUMS + j) * channels
        if MODE == "lanes":
            tl.store(at + first + lane, sums[j], mask=lane < left)
        else:
            tl.store(at + tl.program_id(0), tl.sum(tl.sum(sums[j], axis=1), axis=0))
