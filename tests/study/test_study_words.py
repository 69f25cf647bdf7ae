"""Numbers and names as a report writes them."""

from triton_acts.study.report._words import listed, scale_of


def test_an_end_that_is_not_0_is_not_written_as_0():
    scale = scale_of("accuracy", [0.9], [0.05])
    assert scale.difference(0.04, 0.00004, 0.08) == "+4.000 [+0.004,\N{NO-BREAK SPACE}+8.000]"
    assert scale.difference(0.0, -0.0, 0.1).startswith("0.0 [0.0,")
    assert scale.difference(0.0001, -0.02, 0.02).startswith("0.0 [\N{MINUS SIGN}2.0")
    assert scale.difference(-0.04, -0.08, -1e-6).endswith("\N{MINUS SIGN}0.0001]")


def test_shares_are_percent_but_a_metric_of_that_name_need_not_be_one():
    assert scale_of("accuracy", [0.9], [0.01]).value(0.9) == "90.0"
    assert scale_of("accuracy", [90.0], [1.0]).value(90.0) == "90.0"
    assert scale_of("rmse", [0.9], [0.01]).label == "rmse"


def test_names_with_commas_are_told_apart():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a, b", "c", "d"]) == "a, b; c; and d"
