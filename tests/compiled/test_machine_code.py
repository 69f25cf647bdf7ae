"""The counter on machine code with a known answer: handwritten programs and kernels."""

from types import SimpleNamespace

import pytest
import torch
import triton
from triton import language as tl

from triton_acts.tuning import control_flow, machine_code
from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.registry import Plan, Pointer

BFLOAT16 = torch.bfloat16

# --- handwritten programs ---


def sass(*lines):
    """A listing as cuobjdump prints it, 16 bytes an instruction: line 0x3 is at 0x30."""
    return "\n".join(
        f"        /*{16 * i:04x}*/                   {line} ;   /* 0x0000000000007918 */"
        for i, line in enumerate(lines)
    )


def counted(text, tile=8, itemsize=2):
    path = control_flow.full_path(control_flow.parse(text), tile * itemsize)
    one = machine_code.Pass(path, tile, itemsize)
    return machine_code.tally(one, machine_code.Resources(32, 0))


FULL = ("LDG.E.128 R4, desc[UR4][R4.64]", "FMUL R4, R4, R4", "STG.E.128 desc[UR4][R2.64], R4")
MASKED = ("@P1 LDG.E.128 R4, desc[UR4][R4.64]", "@P1 STG.E.128 desc[UR4][R2.64], R4")


def test_one_block_ends_before_its_exit_and_leaves_out_nops():
    counts = counted(sass("S2R R0, SR_TID.X", "NOP", *FULL, "EXIT", "FMUL R1, R1, R1"))
    assert counts.instr_per_elt == 4 / 8
    assert counts.fp32_per_elt == 1 / 8
    assert (counts.load_bytes, counts.store_bytes, counts.thread_load_bytes) == (16, 16, 16)


@pytest.mark.parametrize("full_first", [True, False])
def test_the_masked_tail_is_not_counted_though_it_is_shorter(full_first):
    first, second = (FULL, MASKED) if full_first else (MASKED, FULL)
    goal = f"0x{16 * (2 + len(first)):x}"
    text = sass(f"@!P0 BRA {goal}", *first, "EXIT", *second, "EXIT")
    assert counted(text).instr_per_elt == (1 + len(FULL)) / 8


def test_one_way_through_a_loop_without_what_is_around_it():
    text = sass(
        "MOV R1, R2",
        "@!P0 BRA 0x60",  # header at 0x10
        *FULL,
        "BRA 0x80",
        *MASKED,
        "@!P2 BRA 0x10",  # latch at 0x80
        "STG.E desc[UR4][R2.64], R4",
        "EXIT",
    )
    assert counted(text).instr_per_elt == (1 + len(FULL) + 2) / 8


def test_innermost_loop_with_the_load():
    text = sass(
        "IADD3 R1, R1, R1", *FULL, "@P0 BRA 0x10", "IADD3 R2, R2, R2", "@P1 BRA 0x0", "EXIT"
    )
    assert counted(text).instr_per_elt == 4 / 8


def test_an_inner_loop_counts_even_if_only_the_outer_one_is_unpredicated():
    text = sass(*FULL, *MASKED, "@P0 BRA 0x30", "@P2 BRA 0x0", "EXIT")
    assert counted(text).instr_per_elt == 3 / 8


def test_a_way_that_stores_without_a_load_is_no_pass():
    text = sass("@P0 BRA 0x50", *FULL, "EXIT", "STG.E.128 desc[UR4][R2.64], RZ", "EXIT")
    assert counted(text).instr_per_elt == 4 / 8


def test_of_two_full_paths_the_cheaper_one_a_tile_counts():
    """One tile in 5 instructions, or two in 8 of which one is a NOP: 7 / 2 a tile."""
    text = sass("@P0 BRA 0x60", "MOV R1, R2", *FULL, "EXIT", "NOP", *FULL, *FULL, "EXIT")
    assert counted(text).instr_per_elt == 7 / 16


def test_an_unrolled_loop_is_divided_by_what_it_stores():
    once = counted(sass(*FULL, "@P0 BRA 0x0", "EXIT"))
    four = counted(sass(*FULL * 4, "@P0 BRA 0x0", "EXIT"))
    assert once.instr_per_elt == 4 / 8
    assert four.instr_per_elt == 13 / 32
    assert four.thread_load_bytes == once.thread_load_bytes == 16


def test_opcodes_are_counted_an_element_by_their_first_word():
    one = machine_code.Pass(control_flow.parse(sass("NOP", *FULL, *FULL)), 8, 2)
    names = ("LDG", "FMUL", "STG")
    assert one.opcodes() == dict.fromkeys(names, 2 / 16)


def test_a_short_cut_that_stores_part_of_a_tile_is_no_full_block():
    word = ("LDG.E R4, desc[UR4][R4.64]", "STG.E desc[UR4][R2.64], R4")
    text = sass("@P0 BRA 0x50", *FULL, "EXIT", *word, "@P1 EXIT", *word * 3, "EXIT")
    assert counted(text).store_bytes == 16


@pytest.mark.parametrize("branch", ["@P2 BRA P1, 0x30", "BRA.U !UP1, 0x30", "@!P0 BRA 0x30"])
def test_conditional_branches_fall_through(branch):
    code = control_flow.parse(sass(branch, "NOP", "EXIT", "EXIT"))
    assert set(code[0].successors) == {1, 3}


def test_other_control_flow():
    code = control_flow.parse(
        sass("BSSY B0, 0x50", "BRA 0x30", "@P0 EXIT", "BSYNC B0", "BAR.SYNC 0x0", "EXIT")
    )
    assert [i.successors for i in code] == [(1,), (3,), (3,), (5,), (5,), ()]
    assert [i.ends for i in code] == [False, False, True, False, False, True]


def test_a_conditional_call_that_does_not_come_back_is_a_branch():
    """How ptxas leaves a loop on sm_80; an unconditional one is a subroutine's."""
    code = control_flow.parse(
        sass("@P0 CALL.REL.NOINC 0x30", "CALL.REL.NOINC 0x30", "BRA 0x0", "EXIT")
    )
    assert [i.successors for i in code] == [(3, 1), (2,), (0,), ()]


AMD_LOOP = """
kernel:
    s_load_dwordx4 s[0:3], s[4:5], 0x0
.LBB0_1:
    s_cbranch_scc0 .LBB0_3
    buffer_load_dwordx4 v[0:3], v0, s[8:11], 0 offen
    v_exp_f32_e32 v0, v0 ; 2 MUFU, 3 FP32
    v_rsq_f32_e32 v0, v0
    v_mul_f32_e32 v0, v0, v0
    v_cmp_lt_f32_e32 vcc, v0, v1
    v_pk_fma_f32 v[0:1], v[0:1], v[0:1], v[0:1]
    s_nop 0
    buffer_store_dwordx4 v[0:3], v0, s[8:11], 0 offen
    s_branch .LBB0_4
.LBB0_3:
    s_and_saveexec_b64 s[0:1], vcc
    global_load_dwordx4 v[0:3], v[4:5], off
    global_store_dwordx4 v[4:5], v[0:3], off
    s_or_b64 exec, exec, s[0:1]
.LBB0_4:
    s_cbranch_scc1 .LBB0_1
    s_endpgm
"""


def test_amd_loop():
    counts = counted(AMD_LOOP)
    assert counts.instr_per_elt == 10 / 8
    assert counts.mufu_per_elt == 2 / 8
    assert counts.fp32_per_elt == 3 / 8
    assert (counts.load_bytes, counts.store_bytes) == (16, 16)


def test_a_narrowed_exec_mask_is_a_predicate_until_it_is_restored():
    code = control_flow.parse(AMD_LOOP)
    assert [i.guarded for i in code if i.loads or i.stores] == [False, False, True, True]
    assert not code[-1].guarded


@pytest.mark.parametrize(
    ("opcode", "width"),
    [
        ("LDG.E.128", 16),
        ("LDG.E.64.CONSTANT", 8),
        ("STG.E", 4),
        ("LDG.E.U16", 2),
        ("LDG.E.S8", 1),
        ("LDG.E.ENL2.256", 32),
        ("global_load_dwordx4", 16),
        ("buffer_load_dword", 4),
        ("buffer_store_short", 2),
        ("buffer_load_ushort", 2),
        ("buffer_load_short_d16_hi", 2),
        ("global_load_ubyte", 1),
        ("global_load_b128", 16),
        ("global_load_u16", 2),
    ],
)
def test_width(opcode, width):
    assert control_flow.width(opcode) == width


def test_the_width_is_that_of_the_tensors_and_of_the_narrowest_of_them():
    weight = "LDG.E R9, desc[UR4][R8.64]"
    assert counted(sass(weight, *FULL, "EXIT")).load_bytes == 16
    narrow = ("LDG.E.U16 R9, desc[UR4][R8.64]",) * 8
    assert counted(sass(*narrow, *FULL, "EXIT")).load_bytes == 2


@pytest.mark.parametrize("text", ["", "\tcode for sm_103a\n", "// nothing\n"])
def test_an_empty_disassembly_is_an_error(text):
    with pytest.raises(RuntimeError, match="empty"):
        control_flow.parse(text)


def test_what_cannot_be_followed_is_an_error():
    with pytest.raises(RuntimeError, match="cannot follow"):
        control_flow.parse(sass("BRA 0xff0", "EXIT"))
    with pytest.raises(RuntimeError, match="cannot follow"):
        control_flow.parse(sass("BRX R4 -0x20", "EXIT"))
    with pytest.raises(RuntimeError, match="multiple of 16 bytes"):
        counted(sass("LDG.E R4, desc[UR4][R4.64]", "STG.E desc[UR4][R2.64], R4", "EXIT"))


def test_amd_resources():
    text = """
    .private_segment_fixed_size: 24
    .sgpr_spill_count: 0
    .vgpr_count:     38
    .vgpr_spill_count: 7
    """
    compiled = SimpleNamespace(
        asm={"amdgcn": text}, metadata=SimpleNamespace(target=SimpleNamespace(arch="gfx942"))
    )
    assert machine_code.resources(compiled) == machine_code.Resources(38, 28)
    compiled.asm["amdgcn"] = "s_endpgm"
    with pytest.raises(RuntimeError, match="vgpr_spill_count"):
        machine_code.resources(compiled)


# --- handwritten kernels ---


@triton.jit
def exponential(x_ptr, y_ptr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + offsets, tl.exp2(tl.load(x_ptr + offsets).to(tl.float32)))


@triton.jit
def centred(x_ptr, y_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets)
    tl.store(y_ptr + offsets, x - tl.sum(x))


@pytest.mark.parametrize(("arch", "threads"), [("sm_90", 128), ("gfx942", 256)])
def test_a_kernel_with_a_known_count(arch, threads):
    """One MUFU an element, in 16-byte accesses; the rest is addresses and range guards."""
    args = {"x_ptr": Pointer(torch.float32), "y_ptr": Pointer(torch.float32)}
    plan = Plan(exponential, {**args, "BLOCK": 4 * threads}, 4, 4 * threads)
    counts = machine_code.count(compile_plan(plan, arch), plan)
    assert counts.mufu_per_elt == 1
    assert (counts.load_bytes, counts.store_bytes, counts.spill_bytes) == (16, 16, 0)
    assert 1 < counts.instr_per_elt < 12


@pytest.mark.parametrize("dtype", [BFLOAT16, torch.float32])
def test_a_misaligned_pointer_is_seen(dtype):
    pointers = {"x_ptr": Pointer(dtype, aligned=False), "y_ptr": Pointer(dtype)}
    plan = Plan(exponential, {**pointers, "BLOCK": 1024}, 4, 1024)
    counts = machine_code.count(compile_plan(plan, "sm_90"), plan)
    assert (counts.load_bytes, counts.store_bytes) == (dtype.itemsize, 16)


def test_spills_are_seen():
    """512 values a thread, all waiting for their sum, do not fit 255 registers."""
    pointers = {"x_ptr": Pointer(torch.float32), "y_ptr": Pointer(torch.float32)}
    plan = Plan(centred, {**pointers, "BLOCK": 16384}, 1, 16384)
    assert machine_code.resources(compile_plan(plan, "sm_90")).spill_bytes > 0


def test_a_tool_that_prints_nothing_is_an_error(monkeypatch):
    """As the disassembler of Triton 3.6.0 does for sm_103 and sm_121."""
    args = {"x_ptr": Pointer(BFLOAT16), "y_ptr": Pointer(BFLOAT16), "BLOCK": 1024}
    plan = Plan(exponential, args, 4, 1024)
    compiled = compile_plan(plan, "sm_90")
    for text, reason, expected in (("", "", "printed nothing"), ("", "no SM90", "no SM90")):
        monkeypatch.setattr(machine_code, "_cuobjdump", lambda *_, t=text, r=reason: (t, r))
        with pytest.raises(RuntimeError, match=f"cannot disassemble sm_90: .*{expected}"):
            machine_code.count(compiled, plan)
