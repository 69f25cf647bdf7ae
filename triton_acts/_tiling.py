"""How an extent is cut into tiles whose sizes are powers of two, as Triton wants them."""

__all__ = ["THREADS", "next_power_of_2", "share", "tile_extent"]

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
