"""How an extent is cut into tiles whose sizes are powers of two, and what a program finds of it."""

from ._triton import jit, tl

__all__ = ["THREADS", "next_power_of_2", "own_rows", "row_stride", "share", "tile_extent"]

THREADS = 128  # of a program whose tiles are a function of the shape, whatever the GPU's warp size


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is not below n >= 1."""
    return 1 << (n - 1).bit_length()


def tile_extent(extent: int, limit: int) -> int:
    """The largest power of two up to `limit` that wastes an eighth at most, else the tightest."""
    size = min(next_power_of_2(extent), limit)
    best, best_padded = size, -(-extent // size) * size
    while 8 * best_padded > 9 * extent and size > 16:
        size //= 2
        padded = -(-extent // size) * size
        if padded < best_padded:
            best, best_padded = size, padded
    return best


def share(extent: int, tile: int, parts: int) -> int:
    """What one of `parts` programs owns of an extent: a multiple of the tile."""
    pieces = -(-extent // tile)
    return -(-pieces // min(pieces, parts)) * tile


@jit
def own_rows(outer, rows, MODE: tl.constexpr):
    """The first of a program's rows and the one after its last."""
    begin = tl.cast(tl.program_id(1), tl.int64) * rows
    end = tl.minimum(begin + rows, outer)
    if MODE == "shared":
        begin = tl.cast(0, tl.int64)
        end = tl.cast(1, tl.int64)
    return begin, end


@jit
def row_stride(channels, inner, MODE: tl.constexpr):
    """Elements from one row to the next; 0 where there is one row, so that its start is aligned."""
    stride = channels * inner
    if MODE == "shared":
        stride = tl.cast(0, tl.int64)
    return stride
