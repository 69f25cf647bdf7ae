"""How the rows of a dense tensor are cut into programs.

Where sums are made, `_rules` keeps tile and unroll from being tuned: a pure function of shape and
dictionary, so that one GPU and Triton version repeat a sum bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from triton_acts import _triton
from triton_acts._tiling import next_power_of_2, share, tile_extent

__all__ = ["Tiles", "tiles"]


@dataclass(frozen=True)
class Tiles:
    """How rows of [channels, inner] are cut.

    Attributes:
        mode: "lanes" (every lane has its own element of a row, and keeps the weights of its
            channel), "plane" (a program has one channel) or "shared" (one channel, one row).
        fold: rows of the tensor that make one row here: as many as fill a program's lanes.
        width: elements of a row in mode "lanes", channels elsewhere: as many weights a node.
        inner: 1 in mode "lanes".
        outer: rows, the last of them maybe incomplete.
        whole_rows: complete rows.
        rows: rows that one program owns.
        columns: elements of a plane that one program owns.
        tile: rows and elements of a tile, powers of two  # [ROWS, LANES].
        unroll: tiles that a program loads before it computes.
        grid: programs over lanes or channels, rows, columns.
    """

    mode: str
    fold: int
    width: int
    inner: int
    outer: int
    whole_rows: int
    rows: int
    columns: int
    tile: tuple[int, int]
    unroll: int
    grid: tuple[int, int, int]

    @property
    def splits(self) -> int:
        """Partial sums of a node and lane or channel."""
        return self.grid[1] * self.grid[2]

    @property
    def padded(self) -> int:
        """Weights a node, those of lanes beyond the width included."""
        return self.grid[0] * self.tile[1] if self.mode == "lanes" else self.width


_FORWARD_PROGRAMS = 4 if _triton.INTERPRETED else 2048
_BACKWARD_PROGRAMS = 4 if _triton.INTERPRETED else 512  # what an H200 runs at a time
_LONGEST = 1024  # tiles a sum takes one after another, where there are enough for more programs
_MOST = 65535  # programs along the second and third dimension of a grid
_FEWEST = 32  # rows that pay for the weights and partial sums of a lane


@lru_cache(maxsize=4096)
def tiles(
    outer: int, channels: int, inner: int, elements: int, unroll: int, backward: bool
) -> Tiles:
    """Cuts [outer, channels, inner].

    Args:
        outer: rows.
        channels: of a row.
        inner: elements of a channel's plane in a row.
        elements: of a tile.
        unroll: tiles that a program loads before it computes.
        backward: whether partial sums are stored.
    """
    programs = _BACKWARD_PROGRAMS if backward else _FORWARD_PROGRAMS
    if inner == 1 and channels > 1:
        return _lanes(outer, channels, elements, programs, unroll)
    return _planes(outer, channels, inner, elements, programs, unroll)


def _lanes(outer: int, row: int, lanes: int, programs: int, unroll: int) -> Tiles:
    fold = _fold(outer, row, lanes)
    width = fold * row
    lanes = min(lanes, next_power_of_2(width))
    across = -(-width // lanes)
    whole, folded = outer // fold, -(-outer // fold)
    splits = max(1, min(-(-programs // across), folded // _FEWEST))
    splits = min(max(splits, folded // _LONGEST), _MOST)
    rows = share(folded, unroll, splits)
    grid = (across, -(-folded // rows), 1)
    return Tiles("lanes", fold, width, 1, folded, whole, rows, width, (1, lanes), unroll, grid)


def _fold(outer: int, row: int, lanes: int) -> int:
    """Rows to take as one: aligned to 16 elements, and lanes wasted by an eighth at most."""
    best, least = 1, float("inf")
    for fold in range(1, min(outer, max(16, -(-lanes // row))) + 1):
        width = fold * row
        waste = -(-width // lanes) * lanes / width + (width % 16 > 0)
        if waste < least:
            best, least = fold, waste
        if waste <= 1.125:
            break
    return best


def _planes(
    outer: int, channels: int, inner: int, elements: int, programs: int, unroll: int
) -> Tiles:
    mode = "shared" if channels == 1 else "plane"
    lanes = tile_extent(inner, elements)
    height = min(next_power_of_2(outer), elements // lanes)
    splits = min(max(-(-programs // channels), outer * inner // (elements * _LONGEST)), _MOST)
    down_step = height if mode == "shared" else height * unroll
    along_step = lanes * unroll if mode == "shared" else lanes
    rows = share(outer, down_step, splits)
    down = -(-outer // rows)
    columns = share(inner, along_step, -(-splits // down))
    grid = (channels, down, -(-inner // columns))
    tile = (height, lanes)
    return Tiles(mode, 1, channels, inner, outer, outer, rows, columns, tile, unroll, grid)
