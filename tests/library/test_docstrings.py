"""Every public docstring runs, and says what a user must know."""

import doctest

import pytest

import rsgdm_optax

PUBLIC = [getattr(rsgdm_optax, name) for name in rsgdm_optax.__all__]
FUNCTIONS = [member for member in PUBLIC if not isinstance(member, type)]


def test_everything_public_is_listed():
    named = {name for name in vars(rsgdm_optax) if not name.startswith("_")}
    assert named == set(rsgdm_optax.__all__)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_example_runs(function):
    (test,) = doctest.DocTestFinder(recurse=False).find(function, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    "section",
    [".. math::", "symbol", "Args:", "Returns:", "Raises:", "Memory:", "Example:", "References:"],
)
def test_sections(function, section):
    assert section in function.__doc__


@pytest.mark.parametrize("state", [member for member in PUBLIC if isinstance(member, type)])
def test_states_are_documented_and_shaped_as_promised(state):
    assert state.__doc__
    fields = {"ScaleByRsgdmState": ("count", "m", "z", "previous_gradient")}
    assert state._fields == fields.get(state.__name__, ("count", "m"))
