"""The checks that PyTorch's own tests run on its modules and operators, on ours.

`test_every_check_is_listed` prints those applied and, for each that is not, the reason.
"""

import importlib
import re
import sys
from fnmatch import fnmatch

import pytest
import torch
from support.subjects import SUBJECTS
from torch.testing._internal import common_nn, common_utils, composite_compliance, optests
from torch.testing._internal.common_dtype import floating_types
from torch.testing._internal.opinfo.core import OpInfo, SampleInput, UnaryUfuncInfo
from torch.testing._internal.optests.generate_tests import safe_schema_check

import triton_acts as ta
from triton_acts.dictionary._composite import Nodes

FOLDER = "torch.testing._internal."
SEARCHED = [
    *("common_nn", "common_modules", "common_utils", "common_jit", "jit_utils"),
    *("jit_metaprogramming_utils", "common_subclass", "common_optimizers", "composite_compliance"),
    *("opinfo.core", "opinfo.utils", "opinfo.refs", "optests.make_fx", "optests.aot_autograd"),
    *("optests.fake_tensor", "optests.autograd_registration", "optests.generate_tests"),
]
CHECK = re.compile(
    r"check|compare|ModuleTest$|CriterionTest$|Info$|TestGradients|^_test_|_test$|^do_test"
)

APPLIED = {
    "common_nn.ModuleTest",
    "common_nn.NewModuleTest",
    "common_nn._test_bfloat16_ops",
    "common_nn._test_module_empty_input",
    "common_utils.TestGradients",
    "common_utils.gradcheck",
    "common_utils.gradgradcheck",
    "common_utils.compare_equal_outs_and_grads",
    "common_optimizers.OptimizerInfo",  # in test_torch_clients.py
    "composite_compliance.check_all_permutations",
    "composite_compliance.check_attr_consistency",  # by check_with_mode and its neighbours
    "composite_compliance.check_backward_formula",
    "composite_compliance.check_forward_ad_formula",
    "composite_compliance.check_metadata_consistency",  # by check_with_mode and its neighbours
    "composite_compliance.check_with_mode",
    "opinfo.core.OpInfo",
    "opinfo.core.UnaryUfuncInfo",
    "optests.aot_autograd.aot_autograd_check",
    "optests.aot_autograd._test_aot_autograd_forwards_backwards_helper",  # by aot_autograd_check
    "optests.fake_tensor.fake_check",
    "optests.make_fx.make_fx_check",
    "optests.generate_tests.safe_schema_check",
}

# Patterns of names, and why those are not applied here
OTHERS = {
    "common_nn.*loss*_test": "the cases of a loss",
    "common_nn.bce_with_logistic*_test": "the cases of a loss",
    "common_nn.CriterionTest": "for losses, which take a target",
    "common_modules.ModuleInfo": "describes a module to tests that PyTorch's wheel lacks",
    "common_utils.check_test_defined_in_running_script": "for test files that run themselves",
    "common_utils.check_if_enable": "switches off tests that PyTorch lists as unstable",
    "common_utils.check_leaked_tensors": "looks for reference cycles; ours makes none to look for",
    "common_utils.do_test_dtypes": "for functions that create tensors",
    "common_utils.do_test_empty_full": "for functions that create tensors",
    "common_utils._test_function": "names a test",
    "common_jit.check_against_reference": "runs TorchScript's executor, which is deprecated",
    "common_jit.check_output_types": "for graphs of TorchScript, which is deprecated",
    "jit_metaprogramming_utils.*": "for the names and aliases of operators in TorchScript",
    "common_subclass.SubclassInfo": "describes a subclass, not an operator",
    "common_utils.make_dynamo_test": "runs PyTorch's own tests under Dynamo",
    "opinfo.core.AliasInfo": "for a second name of an operator",
    "opinfo.core.BinaryUfuncInfo": "for functions of two tensors that broadcast",
    "opinfo.core.ForeachFuncInfo": "for functions of lists of tensors",
    "opinfo.core.ReductionOpInfo": "for reductions",
    "opinfo.core.ShapeFuncInfo": "for functions that change the shape",
    "opinfo.core.SpectralFuncInfo": "for Fourier transforms",
    "opinfo.core.DecorateInfo": "marks tests of PyTorch",
    "opinfo.core.gradcheck_wrapper_*": "for inputs that are hermitian, masked and so on",
    "opinfo.refs.*Info": "for PyTorch's references of its own operators",
    "optests.autograd_registration.autograd_registration_check": "part of opcheck, in the battery",
    "optests.generate_tests.opcheck": "torch.library.opcheck, which the battery runs on every op",
    "optests.generate_tests.safe_*_check": "parts of opcheck, in the battery",
    "optests.generate_tests.*opcheck*": "makes tests of opcheck out of other tests",
}


def listed(name):
    """How a check is dealt with."""
    reasons = [reason for pattern, reason in OTHERS.items() if fnmatch(name, pattern)]
    return (["applied"] if name in APPLIED else []) or reasons


def test_every_check_is_listed():
    found = set()
    for module in SEARCHED:
        space = importlib.import_module(FOLDER + module)
        for name, thing in vars(space).items():
            own = getattr(thing, "__module__", None) == space.__name__
            if own and callable(thing) and CHECK.search(name):
                found.add(f"{module}.{name}")
    for name in sorted(found):
        sys.stdout.write(f"{name}: {', '.join(listed(name))}\n")
    assert len(found) > 60
    assert not [name for name in found if not listed(name)]
    assert not APPLIED - found


MODULES = {
    "ScaledSigmoid": (ta.ScaledSigmoid, ()),
    "ScaledSigmoid offset": (ta.ScaledSigmoid, (2.0, 0.5)),
    "PenalizedTanh": (ta.PenalizedTanh, (0.1,)),
    "PenalizedTanh one": (ta.PenalizedTanh, (0.1, 1)),
    "PenalizedTanh learned": (ta.PenalizedTanh, (0.1, 4)),
    "KAF": (ta.KAF, (4, 5)),
    "KAF one row": (ta.KAF, (1, 4)),
}
EACH_MODULE = pytest.mark.parametrize(("build", "arguments"), MODULES.values(), ids=MODULES)


class NNCase(common_nn.NNTestCase):
    """What ModuleTest asks of a test case; PyTorch's own is not in its wheel."""

    def _forward(self, module, inputs):
        with common_utils.freeze_rng_state():
            return module(*(inputs if isinstance(inputs, tuple) else (inputs,)))

    def _backward(self, module, inputs, output, grad_output, create_graph=False):
        output.backward(grad_output, retain_graph=True, create_graph=create_graph)
        return inputs.grad

    def _get_parameters(self, module):
        parameters = list(module.parameters())
        return parameters, [p.grad for p in parameters]

    def _zero_grad_parameters(self, module):
        for p in module.parameters():
            if p.grad is not None:
                p.grad = torch.zeros_like(p)

    def runTest(self):
        pass


@EACH_MODULE
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3), (1, 4)], ids=str)
def test_module(build, arguments, shape):
    """Any strides of input and gradient, pickling, gradients of two orders and modes, casts."""
    forward = not list(build(*arguments).parameters())  # whose tangents the check leaves out
    common_nn.NewModuleTest(
        build,
        constructor_args=arguments,
        input_fn=lambda: torch.randn(shape, dtype=torch.float64),
        reference_fn=lambda x, _, module: torch.stack([module(row[None])[0] for row in x]),
        supports_forward_ad=forward,
        supports_fwgrad_bwgrad=forward,
        default_dtype=torch.float64,
    )(NNCase())


@EACH_MODULE
def test_module_in_bfloat16(build, arguments):
    common_nn._test_bfloat16_ops(
        NNCase(), build(*arguments), "cpu", inp_dims=(3, 4), prec=0.05, scale_factor=2.0
    )


@EACH_MODULE
@pytest.mark.parametrize("shape", [(0, 4), (3, 4, 0)], ids=str)
def test_module_of_empty_input(build, arguments, shape):
    module = build(*arguments)
    common_nn._test_module_empty_input(NNCase(), module, torch.randn(shape))


@EACH_MODULE
def test_module_beside_its_copy(build, arguments):
    """A module and one that loaded its state: equal outputs and gradients."""
    module, other = build(*arguments), build(*arguments)
    other.load_state_dict(module.state_dict())
    x = torch.randn(3, 4, requires_grad=True)
    common_utils.compare_equal_outs_and_grads(
        NNCase(), lambda x: (module(x),), lambda x: (other(x),), (x,)
    )


def samples(subject, dtype, requires_grad, shapes=((3, 4), (2, 4, 3), (0, 4), (1, 4))):
    """Inputs whose gradients are taken, contiguous and not."""
    for shape in shapes:
        x = torch.randn(shape, dtype=dtype)
        weights = subject.weights(4, dtype=dtype)
        sample = SampleInput(
            x.requires_grad_(requires_grad),
            args=tuple(w.requires_grad_(requires_grad) for w in weights),
        )
        yield sample
        yield sample.noncontiguous()


def described(subject):
    """The subject as PyTorch's tests describe an operator."""
    return OpInfo(
        subject.name.replace(" ", "_"),
        op=subject.call,
        ref=subject.formula,
        dtypes=floating_types(),
        sample_inputs_func=lambda op, device, dtype, grad, **_: samples(subject, dtype, grad),
        supports_forward_ad=True,
        supports_fwgrad_bwgrad=True,
    )


EACH = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


@EACH
@pytest.mark.parametrize("check", ["gradcheck", "bwgrad_bwgrad", "fwgrad_bwgrad"])
def test_gradients(subject, check):
    """First and second derivatives, each by backward and by forward mode, batched and undefined."""
    op = described(subject)
    options = {"check_forward_ad": True, "check_batched_forward_grad": True}
    common_utils.TestGradients()._check_helper(
        "cpu",
        torch.float64,
        op,
        op.get_op(),
        check,
        **(options if check == "gradcheck" else {}),
    )


def equal(actual, expected, equal_nan=False):
    torch.testing.assert_close(actual, expected, equal_nan=equal_nan, rtol=1e-4, atol=1e-5)


@EACH
@pytest.mark.parametrize(
    "check",
    [
        composite_compliance.check_with_mode,
        composite_compliance.check_all_permutations,
        composite_compliance.check_backward_formula,
        composite_compliance.check_forward_ad_formula,
    ],
    ids=lambda check: check.__name__,
)
def test_composite_compliance(subject, check):
    """No memory is touched behind the dispatcher's back, whichever tensors are a subclass."""
    backward = "formula" in check.__name__
    for sample in samples(subject, torch.float32, backward, [(3, 4)]):
        check(subject.call, (sample.input, *sample.args), {}, assert_equal_fn=equal)


def optest(check, *settings):
    return pytest.param(check, settings, id="-".join(map(str, (check.__name__, *settings))))


@EACH
@pytest.mark.parametrize(
    ("check", "settings"),
    [
        optest(optests.aot_autograd_check, True),
        optest(optests.aot_autograd_check, False),
        optest(optests.make_fx_check, "real"),
        optest(optests.make_fx_check, "fake"),
        optest(optests.make_fx_check, "symbolic"),
        optest(optests.fake_check),
        optest(safe_schema_check),
    ],
)
def test_traced(subject, check, settings):
    """Traced as torch.compile traces, fake tensors beside real ones, and schemas that are kept."""
    for sample in samples(subject, torch.float32, True, [(3, 4)]):
        arguments = sample.input, *sample.args
        call = subject.call
        if isinstance(subject.dictionary, Nodes):  # tracers refuse tensors that are no arguments

            def call(x, alpha, nodes):
                return ta.kaf(x, alpha, nodes=nodes, gamma=2.0)

            arguments = *arguments, subject.dictionary.positions.float()
        check(call, arguments, {}, *settings)


ONE_TENSOR = [
    pytest.param(subject, dtype, id=f"{subject.name}-{dtype}")
    for subject in SUBJECTS
    if subject.row is None or subject.shared
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    if subject.op != "kaf" or dtype is torch.float32  # five seconds each
]


@pytest.mark.parametrize(("subject", "dtype"), ONE_TENSOR)
def test_reference_inputs(subject, dtype):
    """PyTorch's inputs for functions of one tensor: sizes, strides, tiny, huge, inf and NaN."""
    weights = subject.weights(1)

    def call(x):
        return subject.call(x, *weights)

    op = UnaryUfuncInfo("ours", op=call, ref=subject.formula, dtypes=(dtype,))
    count = 0
    for sample in op.reference_inputs("cpu", dtype):
        x = sample.input
        y = call(x)
        assert y.dtype is dtype
        expected = subject.formula(x.double(), *(w.double() for w in weights))
        rounding = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 1e-5}
        torch.testing.assert_close(y.double(), expected, equal_nan=True, **rounding)
        count += 1
    assert count > 20
