"""Tensors of more elements than an int32 counts: addresses have to be 64 bits wide."""

import mmap

import pytest
import torch
from support.gradients import assert_close, expected
from triton.runtime import interpreter

from triton_acts import _launch, _triton
from triton_acts.dictionary import _tiles
from triton_acts.pointwise import _per_channel

SIZES = pytest.mark.parametrize("numel", [2**31 - 1, 2**31 + 17])
CHECKED = 4096  # elements at the end
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux's; Python names it from 3.13 on


@pytest.fixture(autouse=True)
def fresh_memory_is_nan():
    """Not here: memory that is written to is memory that is needed."""


def reserved(shape, dtype=torch.float16, **_):
    """Zeros that take no memory until they are written to.

    As many elements lie before them, where an address that has lost its upper half does no harm.
    """
    numel = numel_of(shape)
    size = (numel + 2**31) * dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
    memory = mmap.mmap(-1, size, flags=flags)
    return torch.frombuffer(memory, dtype=dtype)[2**31 :].view(shape)


@pytest.fixture
def last_programs(monkeypatch):
    """Of every launch only the last program runs; grids are cut as on a GPU."""
    set_index = interpreter.InterpreterBuilder.set_grid_idx
    real = _launch.Launcher.__call__
    launched = []

    def call(self, device, grid, key, args, num_warps):
        last = tuple(n - 1 for n in grid)
        launched.append((grid, dict(zip(self.kernel.arg_names, args, strict=True))))
        with monkeypatch.context() as patch:
            dims = interpreter.InterpreterBuilder.set_grid_dim
            patch.setattr(
                interpreter.InterpreterBuilder, "set_grid_dim", lambda b, *_: dims(b, *grid)
            )
            patch.setattr(
                interpreter.InterpreterBuilder, "set_grid_idx", lambda b, *_: set_index(b, *last)
            )
            real(self, device, (1, 1, 1), key, args, num_warps)

    monkeypatch.setattr(_launch.Launcher, "__call__", call)
    monkeypatch.setattr(_per_channel, "_PROGRAMS", 2**20)
    monkeypatch.setattr(_tiles, "_FORWARD_PROGRAMS", 2**20)
    monkeypatch.setattr(_tiles, "_BACKWARD_PROGRAMS", 2**20)
    for cached in (_per_channel.tiles, _tiles.tiles):
        cached.cache_clear()
    yield launched
    for cached in (_per_channel.tiles, _tiles.tiles):
        cached.cache_clear()


def numel_of(shape):
    return torch.Size(shape).numel()


def shapes(subject, numel):
    """Flat, and channels beside each other and in planes, of at least so many elements."""
    if subject.row is None or subject.shared:
        return [(1, numel)]
    return [(-(-numel // 24), 24), (-(-numel // (3 * 4099)), 3, 4099)]


def owned(place, grid, args):
    """Which elements the last program of a launch makes, by where they lie in memory."""
    if "BLOCK" in args:
        return place >= (grid[0] - 1) * args["BLOCK"]
    mode = args["MODE"] if "MODE" in args else args["FORM"][0]
    if mode == "shared":  # all elements are one row
        return place >= (grid[2] - 1) * args["columns"]
    width = args["channels"] * args["inner"]
    row, lane = place // width, place % width
    below = row >= (grid[1] - 1) * args["rows"]
    if mode != "plane":
        return below & (lane >= (grid[0] - 1) * args["LANES"])
    column = (grid[0] - 1) * args["inner"] + (grid[2] - 1) * args["columns"]
    return below & (lane >= column)


@pytest.mark.skipif(
    not _triton.INTERPRETED,
    reason="needs TRITON_INTERPRET=1, which runs it in parts; a GPU runs test_a_whole_tensor",
)
@SIZES
def test_the_last_elements(subject, numel, last_programs, monkeypatch):
    """The interpreter runs the last program of each launch over memory that nobody touches.

    It makes its own elements, the very last among them, and no others.
    """
    monkeypatch.setattr(torch, "empty_like", lambda x, **_: reserved(x.shape, x.dtype))
    for shape in shapes(subject, numel):
        x, g = reserved(shape), reserved(shape)
        end = torch.randn(2, CHECKED).half()
        x.view(-1)[-CHECKED:], g.view(-1)[-CHECKED:] = end
        weights = subject.weights(shape[1] if len(shape) > 1 else 1)
        y = subject.call(x.requires_grad_(), *weights)
        (dx,) = torch.autograd.grad(y, x, g)
        place = torch.arange(numel_of(shape) - CHECKED, numel_of(shape))
        channels = place // numel_of(shape[2:]) % shape[1]
        part = [end[0].view(1, -1), *(w if len(w) == 1 else w[channels] for w in weights)]
        g = end[1].view(1, -1)
        right = expected(subject, part, g)[:2]
        found = []
        for launch, made, reference in zip(last_programs, (y.detach(), dx), right, strict=True):
            own = owned(place, *launch)
            assert own[-1]
            made = made.view(-1)[-CHECKED:].view(1, -1)
            assert not made[:, ~own].any(), "elements of other programs were written to"
            found.append(torch.where(own, made, reference.half()))
        assert_close(subject, found, part, g, True)
        last_programs.clear()


@pytest.mark.gpu
@SIZES
def test_a_whole_tensor(subject, numel, device):
    """All of it, on a GPU with 26 GB to spare; the last elements are looked at."""
    if torch.cuda.mem_get_info()[0] < 6 * 2 * numel:
        pytest.skip("no GPU of that size")
    for shape in shapes(subject, numel):
        x = torch.empty(shape, device=device, dtype=torch.float16).normal_()
        weights = subject.weights(shape[1], device=device)
        with torch.no_grad():
            y = subject.call(x, *weights)
        place = torch.arange(numel_of(shape) - CHECKED, numel_of(shape), device=device)
        channels = place // numel_of(shape[2:]) % shape[1]
        part = [
            x.view(-1)[place].view(1, -1),
            *(w if len(w) == 1 else w[channels] for w in weights),
        ]
        assert_close(subject, [y.view(-1)[place].view(1, -1)], part, None, True)
        x.requires_grad_()
        (dx,) = torch.autograd.grad(subject.call(x, *weights), x, torch.ones_like(x))
        found = [y.view(-1)[place].view(1, -1), dx.view(-1)[place].view(1, -1)]
        assert_close(subject, found, part, None, True)
