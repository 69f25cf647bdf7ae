"""report.md and index.html: complete, self-contained, honest about what is predicted."""

import base64
import math
import re
from html.parser import HTMLParser

import pytest
from support import fake_records
from support.perf_rows import result_row, run_of, run_row, save

from perf import __main__ as command
from perf import blocks, frames, history, page, panels, report, static, static_views, tables
from perf.cases import BOTH
from perf.history import Run
from perf.section import NOT_YET, Picture, Section
from triton_acts import gpus
from triton_acts.tuning.registry import REGISTRY

PREDICTED = [
    dict.fromkeys(static.COLUMNS, "1")
    | {"op": "kaf", "variant": "d20", "direction": "forward", "dtype": "bfloat16"}
    | {"layout": "inner1", "arch": "sm_90", "gpu": "h200", "predicted_gbps": "2538"}
    | {"predicted_bound": "issue", "basis": static.BASIS}
]
TITLES = [
    "Summary",
    "Throughput against size",
    "Share of yardstick",
    "KAF: cost against the number of nodes",
    "Memory",
    "Training step",
    "Block sizes",
    "Predicted against measured",
    "Rates on every GPU: predicted from machine code",
    "All measurements",
    "Runs",
]


class Page(HTMLParser):
    """What a browser would see: headings, captions, tables, images, links, and all text."""

    VOID = ("img", "meta", "wbr")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.images, self.ids = [], [], [], []
        self.texts = {}
        self.tables = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data
        if self.open and {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return self.texts["body"][0]

    def table(self, *columns):
        """The first table with these columns among its own."""
        return next(t for t in self.tables if set(columns) <= set(t[0]))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return fake_records.write(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def book(records):
    return report.load([records])


@pytest.fixture(scope="module")
def paths(book, tmp_path_factory):
    return report.write(tmp_path_factory.mktemp("report"), book, PREDICTED)


@pytest.fixture(scope="module")
def full(paths):
    return Page(paths[1].read_text(encoding="utf-8"))


@pytest.fixture
def small(tmp_path):
    """Records of a CPU alone, which draw quickly."""
    return fake_records.write(tmp_path / "records", ["cpu"])


def test_every_section_is_there(full, paths):
    assert full.texts["h2"] == TITLES
    markdown = paths[0].read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", markdown, re.M) == TITLES


def test_nothing_is_loaded_from_elsewhere(full, paths):
    """All links lead to places in the page, and all images are inside."""
    assert full.links
    for link in full.links:
        assert link.startswith(("#", "data:image/svg+xml;base64,")), link[:80]
    assert {link[1:] for link in full.links if link.startswith("#")} == set(full.ids)
    text = paths[1].read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"@import|url\(", text)


def test_the_charts_load_nothing_either(full):
    for image in full.images:
        chart = base64.b64decode(image["src"].split(",", 1)[1]).decode()
        links = re.findall(r'href="([^"]*)"', chart)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        assert "<script" not in chart
        assert image["alt"]


def test_every_chart_of_three_devices_is_there(full):
    captions = full.texts["figcaption"]
    for slug in fake_records.DEVICES:
        assert sum(
            f"{slug}, " in caption and "rate against size" in caption for caption in captions
        )
        assert any(caption.startswith("Share of yardstick") and slug in caption
                   for caption in captions)  # fmt: skip
        assert any(
            caption.startswith("Price over ReLU") and slug in caption for caption in captions
        )
    for slug in ("h200", "mi300x"):
        assert any(c.startswith(f"{slug}: time of every candidate") for c in captions)
    assert len(captions) == len(full.images) == 10


def test_the_summary_says_what_was_measured_on_what(full):
    assert "h200: NVIDIA H200. Newest run 2026-03-01, torch 2.13.0" in full.text
    assert "cpu: A CPU, 8 threads (no GPU: the plain PyTorch composite ran" in full.text
    head, *lines = full.table("ops", "eager")
    assert head == ["GPU", "ops", "x", "cases", "eager", "torch.compile", "share of yardstick"]
    assert [line[:3] for line in lines if line[0] == "h200"] == [
        ["h200", "pointwise", "large"],
        ["h200", "pointwise", "small"],
        ["h200", "KAF", "large"],
        ["h200", "KAF", "small"],
    ]
    gaps = [
        (*line[:3], title, cell)
        for line in lines
        for title, cell in zip(head[4:], line[4:], strict=True)
        if not re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", cell)
    ]
    assert gaps == [("cpu", "KAF", "small", "torch.compile", "")]  # it takes long
    head, *lines = full.table("op", "eager", "torch.compile")
    assert head[:5] == ["GPU", "op", "direction", "x", "cases"]
    assert head[5:] == ["eager", "torch.compile", "share of yardstick"]
    first = [line[:4] for line in lines if line[0] == "h200"][:3]
    assert first == [
        ["h200", "penalized_tanh", way, "large"]
        for way in ("forward", "backward", "forward+backward")
    ]
    kaf = {(line[0], *line[1:3]) for line in lines if line[1].startswith("kaf")}
    ways = ("forward", "backward")  # other dictionaries run alone, as does a step on a CPU
    expected = {(slug, "kaf, 20 nodes", way) for slug in fake_records.DEVICES for way in ways}
    expected |= {(slug, "kaf, 20 nodes", BOTH) for slug in ("h200", "mi300x")}
    assert kaf == expected


def test_three_gpus_share_one_table_in_the_summary(book):
    (_, overview), _ = report.sections(book, [])[0].tables
    assert list(overview["GPU"].unique()) == book.gpus
    assert len(overview) < page.LONG


def test_small_and_large_tensors_are_told_apart(tmp_path):
    rows = [
        row
        for numel, ms in ((2**24, 4.0), (2**10, 1.5))
        for row in (
            result_row("r1", "eager", ms, numel=numel, shape=str(numel)),
            result_row("r1", numel=numel, shape=str(numel), speedup_vs_eager=ms),
        )
    ]
    book = report.load([save(tmp_path, Run(run_row("r1"), rows))])
    ((_, table), _) = report.sections(book, [])[0].tables
    assert table[["x", "cases", "eager"]].to_numpy().tolist() == [
        ["large", 1, "4.00"],
        ["small", 1, "1.50"],
    ]


def test_noise_is_said_above_what_it_blurs(book):
    rows = book.rows.assign(ms_p80=2 * book.rows["ms_p20"])
    noisy = frames.Book(book.runs, rows, book.trials, [])
    for text in report.sections(noisy, [])[0].text[1:4]:
        assert "Most cases are noisy" in text
    assert "noisy" not in " ".join(report.sections(book, [])[0].text)


def test_every_provider_has_its_numbers_in_a_table(full):
    """Those of other packages, too: a chart is no table."""
    everyone = {"triton_acts", "eager", "torch.compile", "liger DyT", "fla sigmoid"}
    captions = full.texts["caption"] + full.texts["summary"]
    for what in (
        "Rates in the chart of h200",
        "Share of yardstick",
        "Medians of every provider on",
    ):
        assert any(caption.startswith(what) for caption in captions), what
    found = [table for table in full.tables if everyone <= set(table[0])]
    assert len(found) >= 3
    assert all(table[0].index("triton_acts") < table[0].index("eager") for table in found)
    assert "yardstick" in found[-1][0]


def test_the_terminal_is_no_wider_than_120_and_explains_its_words(records):
    for run in history.load([records]).runs:
        measured = [row for row in run.rows if not history.is_trial(row)]
        table, said = report.terminal_table(measured), report.summary(run.meta, measured)
        lines = [*table.splitlines(), *said, *report.promises_table(measured).splitlines()]
        assert max(map(len, lines)) <= 120
        for word in ("scalar", "per_channel", " d20"):
            assert word not in "\n".join(lines)
        for word in ("of yardstick: ", "learned a: ", "/ eager, / compile: "):
            assert word in " ".join(table.splitlines())
        assert "\nkaf, 20 nodes\n  forward, " in table
        assert "  penalized_tanh, learned a, forward, large " in "\n".join(said)


def test_what_was_not_timed_is_named(records):
    runs = {run.gpu: run for run in history.load([records]).runs}
    rows = [row for row in runs["mi300x"].rows if not history.is_trial(row)]
    text = " ".join(" ".join(report.summary(runs["mi300x"].meta, rows)).split())
    assert (
        "Not timed, 6 rows: left out: out of time (scaled_sigmoid, forward and backward; "
        "penalized_tanh, forward and backward; penalized_tanh, learned a, forward and backward)"
    ) in text
    assert "not available: no compiler (torch.compile of scaled_sigmoid, forward and" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0047, "0.0047"), (0.23, "0.23"), (1.0, "1.00"), (9.876, "9.88"), (12.34, "12.3"),
     (123.4, "123"), (0.0, "0.0")],
)  # fmt: skip
def test_ratios_have_two_digits(value, text):
    assert tables.ratio(value) == text


def test_predictions_are_labelled(full):
    captions = full.texts["caption"] + full.texts["summary"] + full.texts["figcaption"]
    where = [text for text in captions if "redicted" in text]
    assert sum("Predicted rate" in text for text in where) == 1
    assert "Machine code, counted" in captions
    assert sum(text.startswith("Predicted and measured on") for text in where) == 2
    assert "2538 (issue)" in full.table("GPU", "kaf, 20 nodes, forward, inner1")[1]
    head, *lines = full.table("measured (ms)")
    assert head[6:] == ["predicted (ms)", "error of the prediction (%)", "predicted bound"]
    assert all(line[8] == "dram" for line in lines)
    for line in lines:
        measured, predicted, error = map(float, line[5:8])
        assert error == pytest.approx(100 * (predicted / measured - 1), abs=0.1)


def test_the_training_table_has_the_price_over_relu(full):
    head, *lines = full.table("model", "relu")
    assert head == ["GPU", "model", "mode", "dtype", "relu", "penalized_tanh", "kaf",
                    "kaf as published"]  # fmt: skip
    (line,) = (line for line in lines if line[:3] == ["h200", "cnn", "eager"])
    assert line[4:] == ["10 ms (1.00 x)", "10.6 ms (1.06 x)", "13.5 ms (1.35 x)", "88 ms (8.80 x)"]
    assert len(lines) == 3 * 4
    memory = [t for t in full.tables if "relu" in t[0]][1]
    assert memory[1][4:6] == ["200 MiB (1.00 x)", "212 MiB (1.06 x)"]


def test_block_sizes_are_a_pivot_by_gpu(full):
    head, *lines = full.table("elements")
    assert head[3:] == ["elements", "mi300x (measured)", "h200 (measured)"]
    assert ["scaled_sigmoid", "forward", "bfloat16", "2^20 to 2^24", *["2048 / 4"] * 2] in lines


def test_maps_that_are_not_drawn_are_named(book, monkeypatch):
    monkeypatch.setattr(blocks, "PANELS", 2)
    found = next(s for s in report.sections(book, []) if s.title == "Block sizes")
    (text,) = (text for text in found.text if text.startswith("Maps of h200 that are not drawn: "))
    assert len(text.split("; ")) == len(blocks.heat(book.trials[book.trials["gpu"] == "h200"])) - 2
    assert "penalized_tanh, forward, bfloat16, 2^24 elements" in text
    for word in ("x4: so many tiles ahead", "'shipped, measured'", "dropped or failed"):
        assert word in found.text[0]


def test_a_damaged_row_is_named_and_costs_nothing_else(small, tmp_path, capsys):
    path = small / "cpu.csv"
    lines = path.read_text().splitlines(keepends=True)
    whole = report.load([small])
    place = next(i for i, line in enumerate(lines) if ",torch.compile," in line)
    lines[place] = lines[place].replace(",contiguous,", ",contiguous,<b>many</b>", 1)
    path.write_text("".join(lines))
    assert command.main(["report", "--records", str(small), "--report", str(tmp_path)]) == 0
    named = f"{path}, line {place + 1}: the row has numel = '<b>many</b>"
    assert named in capsys.readouterr().err
    assert named in (tmp_path / "report.md").read_text()
    found = Page((tmp_path / "index.html").read_text())
    assert found.texts["h2"] == [*TITLES, "Damaged records"]
    assert named in found.text
    assert "b" not in found.texts
    left = report.load([small])
    assert len(left.rows) == len(whole.rows) - 1


def test_a_file_of_another_version_is_named(small, tmp_path):
    old = tmp_path / "old"
    fake_records.write(old, ["h200"])
    text = (old / "h200.csv").read_text()
    (old / "h200.csv").write_text(text.replace("unroll,", "", 1))
    book = report.load([small, old])
    assert len(book.problems) == 1
    assert "h200.csv: not a file of measurement rows" in book.problems[0]
    assert book.gpus == ["cpu"]


def test_a_lost_run_costs_no_measurement(small):
    (small / "runs.csv").unlink()
    book = report.load([small])
    assert book.gpus == ["cpu"]
    assert book.name("cpu") == "cpu"
    text = page.page("x", report.sections(book, []), seconds=0)
    assert "cpu: cpu (no GPU" in Page(text).text


def test_an_empty_folder_says_how_to_make_records(tmp_path, capsys):
    assert command.main(["report", "--records", str(tmp_path), "--report", str(tmp_path)]) == 0
    assert "python -m perf run" in capsys.readouterr().err
    found = Page((tmp_path / "index.html").read_text())
    assert "There are no records yet. Make some with make perf" in found.text
    assert found.images == []
    assert "`make perf`" in (tmp_path / "report.md").read_text()


def test_what_is_missing_is_not_yet_measured(tmp_path):
    """A run without memory, training or tuning says so in each of these sections."""
    folder = fake_records.write(tmp_path, ["cpu"])
    book = report.load([folder])
    rows = book.rows[(book.rows["op"] == "scaled_sigmoid") & (book.rows["provider"] != "eager")]
    bare = frames.Book(book.runs, rows, book.trials, [])
    found = {section.title: section for section in report.sections(bare, [])}
    for title in ("Memory", "Training step", "Predicted against measured"):
        assert NOT_YET in found[title].text
        assert not found[title].pictures
    assert "Not yet measured with several D: cpu." in found[TITLES[3]].text
    assert NOT_YET not in found["Share of yardstick"].text


def test_what_failed_everywhere_is_a_line_and_no_chart(small):
    """Where neither memory nor a step can be had, the reasons stand in the tables."""
    book = report.load([small])
    gone = book.rows["variant"].str.endswith("/peak-memory") | (book.rows["op"] == "training step")
    lost = dict.fromkeys(("ms_p20", "ms_p50", "ms_p80", "bytes"), math.nan)
    rows = book.rows[gone].assign(status="failed: no answer", **lost)
    kept = frames.Book(book.runs, rows, book.trials, [])
    found = {section.title: section for section in report.sections(kept, [])}
    assert found["Memory"].pictures == found["Training step"].pictures == []
    ((_, memory),) = found["Memory"].tables
    assert set(memory["status"]) == {"failed: no answer"}
    ((_, steps),) = found["Training step"].tables
    assert set(steps["kaf"]) == {"failed: no answer"}


def test_without_matplotlib_there_are_tables_and_a_note(small, monkeypatch, tmp_path):
    monkeypatch.setattr(panels, "installed", lambda: False)
    monkeypatch.setattr(panels, "svg", lambda _: pytest.fail("drawn"))
    _, path = report.write(tmp_path, report.load([small]), [])
    found = Page(path.read_text())
    assert found.images == []
    assert found.texts["p"].count(page.NO_CHARTS.replace("`", "")) == 5
    assert found.texts["h2"] == TITLES


def test_charts_that_come_too_late_are_named(monkeypatch):
    drawn = []
    monkeypatch.setattr(panels, "svg", lambda draw: drawn.append(draw) or b"<svg/>")
    clock = iter([0.0, 1.0, 5.9, 6.0])
    monkeypatch.setattr(page.time, "monotonic", lambda: next(clock))
    pictures = [Picture(name, name) for name in ("first", "second", "third")]
    found = Page(page.page("x", [Section("s", pictures=pictures)], seconds=6.0))
    assert drawn == ["first", "second"]
    assert found.texts["figcaption"] == ["first", "second"]
    assert found.texts["p"] == [f"{page.LATE}third".replace("`", "")]


def test_long_tables_are_folded(full):
    folded = [t for t in full.tables if len(t) - 1 > page.LONG]
    assert len(full.texts["details"]) == len(folded) > 0


def test_the_report_lists_the_runs(full):
    head, *lines = full.table("run", "UTC")
    assert [line[0] for line in lines] == [
        f"{stamp}-{slug}-abc123" for slug, (*_, stamp, _) in reversed(fake_records.DEVICES.items())
    ]
    assert head[3:7] == ["commit", "torch", "triton", "driver"]


def test_runs_of_which_nothing_is_shown_are_listed_too(tmp_path):
    first = run_of("r1", "l4", triton_acts=1.0, eager=2.0)
    folder = save(tmp_path, first, run_of("r2", "l4", triton_acts=1.0), Run(run_row("r3"), []))
    found = Page(page.page("x", report.sections(report.load([folder]), []), seconds=0))
    head, *lines = found.table("run", "UTC")
    place = head.index("rows shown")
    assert [(line[0], line[place]) for line in lines] == [("r3", "0"), ("r2", "0"), ("r1", "2")]
    assert "l4: l4. Newest run 2026-01-01" in found.text


def test_a_run_without_rows_is_listed_even_alone(tmp_path):
    folder = save(tmp_path, Run(run_row("r3"), []))
    titles = [section.title for section in report.sections(report.load([folder]), [])]
    assert titles[-1] == "Runs"


def test_the_last_lines_name_the_run_and_how_to_compare_it(tmp_path):
    """With the newest of the same GPU and arguments that has a time."""
    quick, whole = {"argv": "run --quick"}, {"argv": "run"}
    folder = save(
        tmp_path,
        Run(run_row("r1", **quick), [result_row("r1")]),
        Run(run_row("r2", **whole), [result_row("r2")]),
        Run(run_row("r3", "l4", **quick), [result_row("r3")]),
        Run(run_row("r4", **quick), [result_row("r4", ms=None)]),
        Run(run_row("r5", **quick), [result_row("r5", config_source="tune: candidate")]),
        Run(run_row("r6", **quick), [result_row("r6")]),
    )
    name, line = report.ending(run_row("r6", **quick), [folder])
    assert name == "Run: r6"
    assert line.endswith("make perf-compare BASE=r1 HEAD=r6")
    (_, line) = report.ending(run_row("r6", argv="run --x"), [folder])
    assert line.endswith("BASE=r2 HEAD=r6")
    (_, line) = report.ending(run_row("r6", **quick), [folder], folder)
    assert line.endswith(f"python -m perf compare r1 r6 --records {folder}")
    assert report.ending(run_row("r3", "l4"), [folder]) == ["Run: r3"]


def static_row(**changes):
    return PREDICTED[0] | {"triton": "3.7.1"} | changes


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
