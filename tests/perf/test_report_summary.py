"""What the report says in words: the summary, the runs, and the lines in the terminal."""

import re

import pytest
from support import fake_records
from support.perf_rows import result_row, run_of, run_row, save
from support.report_page import Page

from perf import frames, history, page, report, tables
from perf.cases import BOTH
from perf.history import Run


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
