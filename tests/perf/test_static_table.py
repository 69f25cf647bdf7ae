"""The table of predictions: how it is kept, and what is missing in it."""

from support.report_page import static_row

from perf import page, static, static_views
from perf.section import Section
from triton_acts import gpus
from triton_acts.tuning.registry import REGISTRY


def test_static_rows_stay_until_they_are_made_anew(tmp_path):
    path = tmp_path / "static.csv"
    first = [static_row(), static_row(direction="backward"), static_row(arch="gfx942")]
    static.update(path, [*first, static_row(dtype="float32"), static_row(op="penalized_tanh")])
    static.update(path, [static_row(predicted_gbps="1")])
    found = {
        (row["op"], row["dtype"], row["arch"], row["direction"]): row["predicted_gbps"]
        for row in static.read(path)
    }
    assert found == {
        ("kaf", "bfloat16", "sm_90", "forward"): "1",
        ("kaf", "bfloat16", "gfx942", "forward"): "2538",
        ("kaf", "float32", "sm_90", "forward"): "2538",
        ("penalized_tanh", "bfloat16", "sm_90", "forward"): "2538",
    }
    before = path.read_bytes()
    static.update(path, [])
    assert path.read_bytes() == before


def test_a_static_table_with_other_columns_is_none(tmp_path):
    path = tmp_path / "static.csv"
    path.write_text("op,arch\nkaf,sm_90\n")
    assert static.read(path) == []


def test_what_is_not_predicted_is_named_by_op_dtype_and_architecture():
    whole = [
        static_row(op=op, dtype=str(dtype).removeprefix("torch."), arch=arch)
        for op in REGISTRY
        for dtype in static.DTYPES
        for arch in gpus.architectures()
    ]
    assert not [text for text in static_views.text(whole) if "Not predicted" in text]
    gone = [row for row in whole if (row["op"], row["dtype"], row["arch"])
            != ("kaf", "float32", "gfx942")]  # fmt: skip
    assert static_views.text(gone)[-1] == "Not predicted yet on gfx942: kaf float32."
    none = [row for row in whole if (row["op"], row["dtype"]) != ("kaf", "float32")]
    assert static_views.text(none)[-1] == "Not predicted yet on any GPU: kaf float32."


def test_counts_look_alike_from_a_run_and_from_a_file():
    """Numbers stand on the right."""
    (_, counts) = static_views.tables([static_row()])[-1]
    text = page.page("x", [Section("s", tables=[("c", counts)])])
    assert text.count('<td class="n">') == 8
    assert "<td>3.7.1</td>" in text
