"""Frames from records: which rows count, and what is worked out from them."""

import math

import pytest
from support import fake_records
from support.perf_rows import result_row

from perf import blocks, frames, prices
from triton_acts.tuning import records, store
from triton_acts.tuning.config import Config
from triton_acts.tuning.records import RESULTS, RUNS


def run_row(run_id, slug="cpu"):
    return dict.fromkeys(RUNS.columns) | {
        "run_id": run_id,
        "utc_time": run_id,
        "gpu_slug": slug,
        "torch": "2.13",
    }


def row(run_id, provider="triton_acts", ms=1.0, **changes):
    rate = {"bytes": 2**23, "gbps": 2**23 / ms / 1e6 if ms else None}
    large = {"shape": "1024", "numel": 2**20, **rate}
    return result_row(run_id, provider, ms, **large | changes)


@pytest.fixture
def load(tmp_path):
    """The book of some rows, on a CPU unless said otherwise."""

    def load(rows, slug="cpu"):
        runs = sorted({cells["run_id"] for cells in rows})
        records.append(tmp_path / "runs.csv", RUNS, [run_row(name, slug) for name in runs])
        records.append(tmp_path / f"{slug}.csv", RESULTS, rows)
        return frames.load([tmp_path])

    return load


def test_the_newest_run_of_each_case_counts(load):
    """All providers of a case come from one run: only these were timed side by side."""
    book = load(
        [
            row("2026a", ms=1.0),
            row("2026a", ms=7.0, shape="2048"),
            row("2026b", ms=3.0),
            row("2026b", "eager", ms=2.0),
        ]
    )
    found = {(r["shape"], r["provider"]): r["ms_p50"] for r in book.rows.to_dict("records")}
    assert found == {
        ("1024", "triton_acts"): 3.0,
        ("1024", "eager"): 2.0,
        ("2048", "triton_acts"): 7.0,
    }


def test_a_newer_run_that_timed_fewer_providers_hides_nothing(load):
    whole = [row("2026a"), row("2026a", "eager", 2.0)]
    lost = row("2026b", "eager", None, status="failed: no luck")
    book = load([*whole, row("2026b", ms=3.0), lost])
    assert set(book.rows["run_id"]) == {"2026a"}


def test_newest_is_by_time_and_not_by_name(tmp_path):
    """As everywhere else: a run's id need not begin with its time."""
    runs = [run_row("b"), run_row("a") | {"utc_time": "c"}]
    records.append(tmp_path / "runs.csv", RUNS, runs)
    rows = [row("b", ms=1.0), row("a", ms=2.0), trial("a", 64, 4, 1.0), trial("b", 128, 4, 1.0)]
    records.append(tmp_path / "cpu.csv", RESULTS, rows)
    book = frames.load([tmp_path])
    assert book.rows["run_id"].tolist() == ["a"]
    ((_, found),) = blocks.heat(book.trials).items()
    assert found.index.tolist() == [64.0]


@pytest.mark.parametrize(("dtype", "mib"), [("float64", 8.0), ("float8_e5m2", 1.0)])
def test_the_size_of_x_is_that_of_its_dtype(load, dtype, mib):
    book = load([row("a", dtype=dtype)])
    assert book.rows["mib"].tolist() == [mib]
    assert frames.measured_table(book.rows)["x (MiB)"].tolist() == [mib]


def test_a_dtype_that_is_none_has_no_size(load):
    book = load([row("a", dtype="nonsense"), row("a", dtype="nn")])
    assert book.rows["mib"].isna().all()
    assert frames.by_size(book.rows).empty


def test_a_newer_run_that_left_a_case_out_hides_nothing(load):
    gone = row("2026b", ms=None, status="left out: out of time")
    other = row("2026b", ms=None, status="left out: out of time", shape="2048")
    book = load([row("2026a"), gone, other])
    assert dict(zip(book.rows["shape"], book.rows["run_id"], strict=True)) == {
        "1024": "2026a",
        "2048": "2026b",
    }


def test_searches_are_no_measurements_of_what_a_call_gets(load):
    book = load([row("a", config_source="tune: default"), row("a", config_source="exhaustive")])
    assert len(book.rows) == 0
    assert len(book.trials) == 2
    assert book.gpus == ["cpu"]


def test_other_modes_and_training_steps_are_no_device_time(load):
    book = load(
        [
            row("a"),
            row("a", variant="scalar/graph-replayed"),
            row("a", op="training step", variant="cnn/eager", provider="relu"),
        ]
    )
    assert frames.by_size(book.rows)["variant"].tolist() == ["scalar"]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_several_shapes_of_a_size_one_is_chosen_by_rule(load, backwards):
    """Not the one whose rounds happened to end first; and for all providers the same."""
    rows = [
        row("a", shape=shape, op=op, variant=variant)
        for op, variant in (("kaf", "d20"), ("penalized_tanh", "per_channel"))
        for shape in ("2x8x65536", "16x1x256x256", "2048x512")
    ]
    rows.append(row("a", "eager", op="kaf", variant="d20", shape="2x8x65536"))
    found = frames.by_size(load(rows[::-1] if backwards else rows).rows)
    assert dict(zip(found["op"], found["shape"], strict=True)) == {
        "kaf": "2048x512",
        "penalized_tanh": "16x1x256x256",
    }


def test_the_band_is_that_of_p20_and_p80(load):
    book = load([row("a", ms_p20=1.0, ms=2.0, ms_p80=4.0) | {"ms_p50": 2.0, "ms_p20": 1.0}])
    (found,) = frames.by_size(book.rows).to_dict("records")
    assert found["high"] == pytest.approx(2**23 / 1e6)
    assert found["low"] == pytest.approx(found["high"] / 4)
    assert found["mib"] == 4.0


def test_shares_are_those_of_the_largest_size_and_main_dtype(load):
    book = load(
        [
            row("a", share_of_yardstick=0.1, numel=2**10, shape="1"),
            row("a", share_of_yardstick=0.9),
            row("a", "yardstick", share_of_yardstick=1.0),
            row("a", share_of_yardstick=0.5, dtype="bfloat16", numel=2**30, shape="2"),
        ]
    )
    found = frames.shares(book.rows)
    assert found["share_of_yardstick"].tolist() == [0.9]


def test_node_costs_need_two_dictionaries_of_one_shape(load):
    kaf = {"op": "kaf", "direction": "forward+backward"}
    one = load([row("a", variant="d20", **kaf), row("a", variant="d8", shape="9", **kaf)])
    assert len(frames.node_counts(one.rows)) == 0


def test_node_costs_are_in_us_a_million_elements(load):
    kaf = {"op": "kaf", "direction": "forward+backward"}
    ours = [row("a", variant=f"d{n}", ms=n * 0.001 * 1.048576, **kaf) for n in (128, 8, 20)]
    book = load([*ours, row("a", "eager", variant="d20", **kaf)])  # eager: one dictionary alone
    found = frames.node_counts(book.rows)
    assert found["nodes"].tolist() == [8, 20, 128]
    assert found["us"].tolist() == pytest.approx([8, 20, 128])


def test_memory_is_relative_to_x(load):
    peak = row("a", variant="scalar/peak-memory", ms=None, bytes=3 * 2**22)
    (found,) = frames.memory(load([peak, row("a")]).rows).to_dict("records")
    assert (found["what"], found["peak_mib"], found["of_x"]) == ("scaled_sigmoid", 12.0, 3.0)


def step(provider, ms, variant="cnn/eager", **changes):
    return row("a", provider, ms, op="training step", variant=variant, **changes)


def test_prices_are_relative_to_relu_of_the_same_step(load):
    book = load(
        [
            step("relu", 10.0),
            step("kaf", 15.0),
            step("relu", None, "cnn/eager/peak-memory", bytes=2**20),
            step("kaf", None, "cnn/eager/peak-memory", bytes=3 * 2**20),
            step("relu", 4.0, "cnn/compiled"),
            step("kaf", None, "cnn/compiled", status="failed: no compiler"),
            step("kaf", 3.0, "mlp/eager"),
        ]
    )
    found = prices.prices(book.rows)
    ratios = {
        (r["model"], r["mode"], r["provider"]): (r["price"], r["memory_price"])
        for r in found.to_dict("records")
    }
    assert ratios["cnn", "eager", "kaf"] == (1.5, 3.0)
    assert ratios["cnn", "compiled", "relu"][0] == 1.0
    assert math.isnan(ratios["mlp", "eager", "kaf"][0])
    table = prices.by_activation({"cpu": found}, "ms_p50", "price", "ms").set_index("mode")
    assert table.loc["compiled", "kaf"] == "failed: no compiler"
    assert "3 ms" in table["kaf"].tolist()
    peaks = prices.by_activation({"cpu": found}, "peak_mib", "memory_price", "MiB")
    assert "3 MiB (3.00 x)" in peaks["kaf"].tolist()


def test_the_error_of_a_prediction_has_a_sign(load):
    book = load([row("a", ms=2.0, predicted_ms=1.0), row("a", ms=2.0, shape="2")])
    assert frames.predictions(book.rows)["error_percent"].tolist() == [-50.0]


def trial(run_id, block, num_warps, ms, **changes):
    winner = {"layout": "flat", "aligned": True, "config_source": "tune: candidate"}
    winner |= {"block": block, "num_warps": num_warps, "unroll": 1, "is_winner": False}
    return row(run_id, ms=ms) | winner | changes


def test_block_sizes_of_a_search(load):
    book = load(
        [
            trial("a", 1024, 4, 1.0, is_winner=True),
            trial("b", 2048, 8, 1.0, is_winner=True, unroll=2),
            trial("b", 1024, 4, 0.5),
            trial("b", 512, 2, 1.0, is_winner=True, aligned=False),
        ],
        "h200",
    )
    (line,) = blocks.block_sizes(book).to_dict("records")
    assert line == {
        "op": "scaled_sigmoid",
        "direction": "forward",
        "dtype": "float32",
        "elements": "2^20",
        "h200 (measured)": "2048 / 8 x2",
    }


def shipped(kind):
    sizes = {12: Config(8), 16: Config(8), 20: Config(16)}
    entries = {"scaled_sigmoid/forward/bfloat16/aligned": sizes}
    entries["scaled_sigmoid/forward/bfloat16/any"] = sizes
    return store.ConfigFile({}, {"kind": kind, "run_ids": []}, entries)


def test_block_sizes_that_are_shipped_say_what_they_are(load, monkeypatch):
    """Without a search the file of the GPU answers; one of the model is called predicted."""
    files = {"h200": shipped("model"), "mi300x": shipped("measured")}
    monkeypatch.setattr(store, "shipped", files.get)
    table = blocks.block_sizes(load([row("a")], "cpu"))  # no GPU: the featured ones
    assert list(table.columns[4:]) == [f"h200 ({blocks.MODEL})", "mi300x (shipped, measured)"]
    assert "predicted" in blocks.MODEL
    assert table["elements"].tolist() == ["2^12 to 2^16", "2^20"]
    assert table.iloc[:, 4].tolist() == ["1024 / 4", "2048 / 4"]
    monkeypatch.setattr(store, "shipped", lambda _: None)
    assert blocks.block_sizes(frames.load([])).empty


def test_the_heat_map_is_relative_to_the_fastest(load):
    book = load(
        [
            trial("a", 1024, 4, 2.0),
            trial("a", 1024, 8, 3.0),
            trial("a", 2048, 4, 5.0),
            trial("a", 2048, 4, 4.0, unroll=2),
            trial("a", 2048, 8, None, status="dropped: spills"),
            trial("a", 512, 4, 0.1, numel=2**12),
            trial("a", 512, 4, 0.1, aligned=False),
        ],
        "h200",
    )
    ((title, found),) = blocks.heat(book.trials).items()
    assert "2^20 elements" in title
    assert found.loc[1024.0].tolist() == [1.0, 1.5]
    assert found.loc[2048.0, 4.0] == 2.0
    assert math.isnan(found.loc[2048.0, 8.0])


def test_gpus_are_in_the_order_of_their_newest_runs(tmp_path):
    book = frames.load([fake_records.write(tmp_path)])
    assert book.gpus == ["cpu", "mi300x", "h200"]
    assert book.name("h200") == "NVIDIA H200"
    assert frames.main_dtype(book.of("h200")) == "bfloat16"
