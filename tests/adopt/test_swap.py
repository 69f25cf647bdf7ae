"""Modules are replaced in place, by exact type, and put back."""

import functools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import triton_acts as ta


def network():
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6)),
        nn.ReLU(inplace=True),
    )


def names(rows):
    return [row.name for row in rows]


def test_replaces_by_type_in_place():
    model = network()
    inner = model[2]
    report = ta.swap(model, {nn.ReLU: "penalized_tanh", nn.Tanh: ta.ScaledSigmoid})
    assert report.model is model
    assert model[2] is inner
    assert [type(m) for m in model.modules() if not list(m.children())] == [
        nn.Linear,
        ta.PenalizedTanh,
        nn.Linear,
        ta.ScaledSigmoid,
        nn.Linear,
        ta.PenalizedTanh,
    ]
    assert names(report.replaced) == ["1", "2.1", "3"]
    assert [r.module for r in report.replaced] == [model[1], model[2][1], model[3]]
    assert not report.unreplaced
    assert report.params_added == 0
    x = torch.randn(7, 3)
    y = ta.penalized_tanh(model[0](x))
    y = model[2][2](ta.scaled_sigmoid(model[2][0](y)))
    assert torch.equal(model(x), ta.penalized_tanh(y))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("scaled_sigmoid", "ScaledSigmoid(scale=4.0, bias=None, save='input')"),
        (nn.ELU, "ELU(alpha=1.0)"),
        (
            functools.partial(ta.ScaledSigmoid, scale=10.0),
            "ScaledSigmoid(scale=10.0, bias=None, save='input')",
        ),
        (
            ta.PenalizedTanh(0.5),
            "PenalizedTanh(a=0.5, num_parameters=None, channel_dim=1, save='input')",
        ),
        (lambda old: nn.LeakyReLU(0.5 if old.inplace else 0.1), "LeakyReLU(negative_slope=0.1)"),
        (
            "penalized_tanh_learned",
            "PenalizedTanh(a=0.25, num_parameters=1, channel_dim=1, save='input')",
        ),
        (
            "penalized_tanh_per_channel",
            "PenalizedTanh(a=0.25, num_parameters=4, channel_dim=-1, save='input')",
        ),
    ],
)
def test_a_value_is_a_name_a_class_a_partial_an_instance_or_a_factory(value, expected):
    model = network()
    ta.swap(model, {nn.ReLU: value}, where="1")
    assert repr(model[1]) == expected


def test_an_instance_is_copied_for_each_use():
    given = ta.PenalizedTanh(num_parameters=1)
    model = network()
    report = ta.swap(model, {nn.ReLU: given})
    assert len({id(model[1].a), id(model[3].a), id(given.a)}) == 3
    assert report.params_added == 2


def test_a_factory_gets_the_module_and_may_keep_it():
    model, seen = network(), []

    def factory(old):
        seen.append(old)
        return old if old.inplace else ta.PenalizedTanh()

    first, last = model[1], model[3]
    report = ta.swap(model, {nn.ReLU: factory})
    assert seen == [first, last]
    assert model[3] is last
    assert names(report.replaced) == ["1"]
    assert [(u.name, u.what) for u in report.unreplaced] == [("3", "ReLU")]


def test_where_is_a_glob_or_a_function():
    assert names(ta.swap(network(), {nn.ReLU: "kaf", nn.Tanh: "kaf"}, where="2.*").replaced) == [
        "2.1"
    ]
    report = ta.swap(network(), {nn.ReLU: nn.ELU}, where=lambda name, m: m.inplace and name == "3")
    assert names(report.replaced) == ["3"]
    assert not report.unreplaced


def test_a_shared_module_stays_shared():
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 4), shared, nn.Linear(4, 4), shared)
    report = ta.swap(model, {nn.ReLU: "kaf"})
    assert model[1] is model[3]
    assert report.params_added == 4 * 20
    assert report.undo()[3] is shared


def test_a_shared_module_under_one_name_only():
    shared = nn.PReLU()
    model = nn.Sequential(nn.Linear(4, 4), shared, shared)
    report = ta.swap(model, {nn.PReLU: ta.PenalizedTanh}, where="2")
    assert model[1] is shared
    assert type(model[2]) is ta.PenalizedTanh
    assert report.params_added == 0
    assert ta.swap(model, {nn.PReLU: ta.PenalizedTanh}).params_added == -1


def test_a_shared_block_is_entered_once():
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model = nn.Sequential(block, block)
    report = ta.swap(model, {nn.ReLU: "kaf"})
    assert names(report.replaced) == ["0.1"]
    assert model[1][1] is report.replaced[0].module


def test_the_root_itself():
    model = nn.Tanh().eval()
    report = ta.swap(model, {nn.Tanh: "scaled_sigmoid"})
    assert type(report.model) is ta.ScaledSigmoid
    assert not report.model.training
    assert report.undo() is model
    assert report.model is model


def test_what_is_inside_a_replaced_module_goes_with_it():
    class Block(nn.Sequential):
        pass

    model = nn.Sequential(Block(nn.ReLU()), nn.ReLU())
    report = ta.swap(model, {Block: nn.Tanh, nn.ReLU: nn.ELU})
    assert names(report.replaced) == ["0", "1"]


def test_mode_device_and_dtype_are_those_of_the_neighbours():
    model = nn.Sequential(
        nn.Linear(2, 3, dtype=torch.float64),
        nn.ReLU(),
        nn.Linear(3, 4, device="meta", dtype=torch.bfloat16),
        nn.ReLU().eval(),
        nn.Tanh(),
    )
    ta.swap(model, {nn.ReLU: "penalized_tanh_per_channel", nn.Tanh: "kaf"})
    assert (model[1].a.dtype, model[1].a.device.type) == (torch.float64, "cpu")
    assert (model[3].a.dtype, model[3].a.device.type) == (torch.bfloat16, "meta")
    assert (model[4].alpha.dtype, model[4].alpha.device.type) == (torch.float32, "meta")
    assert (model[1].training, model[3].training) == (True, False)


def test_hooks_stay_and_their_handles_work():
    model, seen = network(), []
    handle = model[1].register_forward_hook(lambda m, _args, _y: seen.append(type(m)))
    report = ta.swap(model, {nn.ReLU: "penalized_tanh"})
    model(torch.randn(2, 3))
    assert seen == [ta.PenalizedTanh]
    handle.remove()
    model(torch.randn(2, 3))
    report.undo()(torch.randn(2, 3))
    assert len(seen) == 1


def test_subclasses_parametrized_scripted_and_fused_are_listed():
    class Mine(nn.ReLU):
        def forward(self, x):
            return 2 * super().forward(x)

    parametrized = nn.PReLU()
    parametrize.register_parametrization(parametrized, "weight", nn.Sigmoid())
    scripted = torch.jit.script(nn.Sequential(nn.ReLU()))
    model = nn.ModuleList([Mine(), parametrized, scripted, nn.LSTM(2, 2), nn.RNN(2, 2), nn.ReLU6()])
    report = ta.swap(model, {nn.ReLU: nn.ELU, nn.PReLU: nn.ELU, nn.Tanh: nn.ELU})
    assert not report.replaced
    reasons = {u.name: u.reason for u in report.unreplaced}
    assert list(reasons) == ["0", "1", "2", "3", "4"]
    words = ["subclass of ReLU", "remove_parametrizations", "scripted", "Tanh", "Tanh"]
    assert all(word in reason for word, reason in zip(words, reasons.values(), strict=True))
    assert names(ta.swap(model, {Mine: nn.ELU}).replaced) == ["0"]


def test_undo_restores_the_same_objects_once():
    model = network()
    before, order = list(model.modules()), list(model.state_dict())
    report = ta.swap(model, {nn.ReLU: "kaf", nn.Tanh: "kaf"})
    assert list(model.state_dict()) != order
    assert report.undo() is model
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    assert list(model.state_dict()) == order
    with pytest.raises(RuntimeError, match="only once"):
        report.undo()


def test_undo_after_a_later_change_changes_nothing():
    model = network()
    first = ta.swap(model, {nn.ReLU: nn.ELU})
    second = ta.swap(model, {nn.ELU: nn.SiLU}, where="3")
    with pytest.raises(RuntimeError, match="undo later changes first"):
        first.undo()
    assert type(model[1]) is nn.ELU
    second.undo()
    assert type(first.undo()[1]) is nn.ReLU


def test_a_dry_run_changes_nothing_and_says_the_same():
    model = network()
    before, state = list(model.modules()), torch.get_rng_state()
    dry = ta.swap(model, {nn.ReLU: "kaf"}, dry_run=True)
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    real = ta.swap(model, {nn.ReLU: "kaf"})
    assert [r[:4] for r in dry.replaced] == [r[:4] for r in real.replaced]
    assert dry.params_added == real.params_added == 200
    assert torch.equal(dry.replaced[0].module.alpha, real.replaced[0].module.alpha)
    with pytest.raises(RuntimeError, match="dry run"):
        dry.undo()


@pytest.mark.parametrize(
    ("replacements", "options", "error", "match"),
    [
        ({}, {}, ValueError, "empty"),
        ([nn.ReLU], {}, TypeError, "dict of module types"),
        ({torch.relu: "kaf"}, {}, TypeError, "stands for the function too"),
        ({nn.ReLU: "swish"}, {}, ValueError, "unknown activation 'swish'; allowed are scaled_sig"),
        ({nn.ReLU: 3}, {}, TypeError, "a module class, a module, or a function"),
        ({nn.ReLU: dict}, {}, TypeError, "a module class, a module, or a function"),
        ({nn.ReLU: "kaf"}, {"where": 3}, TypeError, "a glob on qualified names"),
        ({nn.ReLU: nn.ELU, nn.Tanh: lambda _: 3}, {}, TypeError, "2.1 .Tanh.: the function must"),
        ({nn.ReLU: nn.ELU, nn.Tanh: nn.Linear}, {}, TypeError, "2.1 .Tanh. cannot be replaced"),
        ({nn.ReLU: "kaf"}, {"example": 3}, ValueError, "the model failed on example .TypeError"),
    ],
)
def test_an_error_changes_nothing(replacements, options, error, match):
    model = network()
    before = list(model.modules())
    modes = [m.training for m in before]
    with pytest.raises(error, match=match):
        ta.swap(model, replacements, **options)
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    assert [m.training for m in before] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in before)


def test_a_model_that_is_none():
    with pytest.raises(TypeError, match="got Tensor"):
        ta.swap(torch.zeros(3), {nn.ReLU: "kaf"})


def test_two_modules_with_hooks_of_their_own():
    model, given = network(), nn.ELU()
    given.register_forward_hook(print)
    model[1].register_forward_hook(print)
    with pytest.raises(ValueError, match="has hooks, and so has its replacement"):
        ta.swap(model, {nn.ReLU: given})


@pytest.mark.parametrize(("kind", "where"), [(nn.GELU, None), (nn.ReLU, "encoder.*")])
def test_nothing_to_replace_is_said(kind, where):
    with pytest.warns(UserWarning, match=rf"the model has no {kind.__name__}.*print.model."):
        report = ta.swap(network(), {kind: "kaf"}, where=where)
    assert not report.replaced
    assert not report.unreplaced


def test_the_report_is_a_table():
    class Mine(nn.Tanh):
        pass

    model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), Mine())
    report = ta.swap(model, {nn.ReLU: "kaf", nn.Tanh: "kaf"})
    assert str(report).splitlines()[:4] == [
        "1 replaced, 1 not, +600 parameters",
        "",
        "name  before  after  how",
        "----  ------  -----  ---",
    ]
    assert "1     ReLU    KAF    module" in str(report)
    assert "2             Mine  it is a subclass of Tanh" in repr(report)
    dry = ta.swap(model, {nn.Linear: nn.Identity}, dry_run=True)
    assert str(dry).startswith("1 would be replaced, 0 not, -90 parameters")
