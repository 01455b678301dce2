"""Every public docstring runs, and says what a user must know."""

import doctest
import inspect
import subprocess
import sys

import pytest

import rsgdm_optax

MODULES = (rsgdm_optax, rsgdm_optax.analysis, rsgdm_optax.linear)
# The methods of the family, each a line of mathematics and a reference.
CONSTRUCTORS = {
    name
    for name, member in vars(rsgdm_optax.linear).items()
    if getattr(member, "__module__", "") == "rsgdm_optax.linear._methods"
}
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
}
FUNCTIONS = [
    name
    for name, member in PUBLIC.items()
    if inspect.isfunction(member) and name.rpartition(".")[2] not in CONSTRUCTORS
]
TRANSFORMATIONS = [name for name in FUNCTIONS if name.count(".") == 1]
STATES = [
    rsgdm_optax.ScaleByRsgdmState,
    rsgdm_optax.ScaleByRsgdmCompactState,
    rsgdm_optax.ScaleByRsadamState,
    rsgdm_optax.MomentumState,
]


@pytest.mark.parametrize("module", [rsgdm_optax])
def test_everything_public_is_listed(module):
    named = {name for name in vars(module) if not name.startswith("_")}
    assert named == set(module.__all__)


def test_what_is_imported_when_used_is_listed_too():
    """In a process of its own: here other tests have imported them."""
    code = "import sys, rsgdm_optax as r; print(set(r.__all__) <= set(dir(r)), "
    code += "'rsgdm_optax.linear' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run(name):
    if inspect.ismodule(PUBLIC[name]):
        return
    tests = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], globs={})
    examples = sum(len(test.examples) for test in tests)
    assert examples > 0 or inspect.isclass(PUBLIC[name])
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "section", [".. math::", "Args:", "Returns:", "Raises:", "Memory:", "Example:", "References:"]
)
def test_sections(name, section):
    assert section in PUBLIC[name].__doc__


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_symbols_are_mapped_to_names(name):
    assert "symbol  " in PUBLIC[name].__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_is_documented(name):
    first_line = PUBLIC[name].__doc__.splitlines()[0]
    assert len(first_line) > 20
    # What Python writes where a NamedTuple has no docstring.
    assert not first_line.startswith(f"{name.rpartition('.')[2]}(")


def test_states_have_the_promised_fields():
    fields = [state._fields for state in STATES]
    assert fields == [
        ("count", "m", "z", "previous_gradient"),
        ("count", "c"),
        ("count", "c", "nu"),
        ("m",),
    ]
