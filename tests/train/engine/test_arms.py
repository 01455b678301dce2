"""Arms: anybody's optimizer, by the place of its function."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from tests.train import outcomes
from tests.train.conftest import run_study, small
from train.common.errors import InputError
from train.engine.optimizers import Arm
from train.study.presets import PRESETS

pytestmark = pytest.mark.usefixtures("quick_studies")

MINE = """
import optax

__version__ = "3.1"


def make(learning_rate, slow=1.0):
    return optax.sgd(lambda count: slow * learning_rate(count))


def fails(learning_rate):
    raise RuntimeError("not today\\nor ever")
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of the user's, in the current folder."""
    (tmp_path / "my_optimizers.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return "my_optimizers"


def _path(arm, **options):
    """Parameters along ½‖θ − 1‖² from two, at rate 0.1."""
    optimizer = arm.make(lambda _: 0.1, **{"decay": 0.9, "weight_decay": 0.0} | options)
    theta = jnp.full(3, 2.0)
    state, path = optimizer.init(theta), []
    for _ in range(20):
        updates, state = optimizer.update(theta - 1, state, theta)
        theta = optax.apply_updates(theta, updates)
        path.append(np.asarray(theta))
    return np.stack(path)


def test_an_arm_is_the_function_that_it_names():
    lion = Arm.parse("lion=optax:lion(b1=0.95)")
    assert (lion.name, lion.optimizer) == ("lion", "optax:lion(b1=0.95)")
    assert lion.version == optax.__version__
    direct = optax.lion(lambda _: 0.1, b1=0.95)
    theta = jnp.full(3, 2.0)
    state = direct.init(theta)
    for found in _path(lion):
        updates, state = direct.update(theta - 1, state, theta)
        theta = optax.apply_updates(theta, updates)
        np.testing.assert_array_equal(found, theta)


def test_the_same_call_has_one_spelling():
    spellings = ("a=optax:adam(b2=0.9,  b1=.5)", "a=optax:adam(b1=0.50,b2=9e-1,)")
    assert {Arm.parse(text).optimizer for text in spellings} == {"optax:adam(b1=0.5, b2=0.9)"}
    assert Arm.parse("a=optax:adam()").optimizer == Arm.parse("a=optax:adam").optimizer
    values = "a=optax:adam(eps=-1e-3, mu_dtype='float32', mask={'x': [1, (2, None)]})"
    parsed = Arm.parse(values).optimizer
    assert Arm.parse(f"a={parsed}").optimizer == parsed
    # As values these have no spelling, or another in each process.
    assert Arm.parse("a=optax:adam(eps=1e400)").optimizer == "optax:adam(eps=1e309)"
    assert Arm.parse("a=optax:adam(b={'x','y'})").optimizer == "optax:adam(b={'x', 'y'})"


def test_built_in_and_outside_are_the_same_optimizer():
    inside, outside = Arm.parse("rsgdm"), Arm.parse("mine=rsgdm_optax:rsgdm(decay=0.9)")
    for weight_decay in (0.0, 0.1):
        paths = [_path(arm, weight_decay=weight_decay) for arm in (inside, outside)]
        np.testing.assert_array_equal(*paths)
    assert outside.version == rsgdm_optax.__version__


def test_weight_decay_comes_before_unless_the_arm_names_its_own():
    plain, own = Arm.parse("a=optax:sgd"), Arm.parse("b=optax:adamw(weight_decay=0.0)")
    theta = 2.0
    for found in _path(plain, weight_decay=0.1)[:, 0]:
        theta -= 0.1 * (theta - 1 + 0.1 * theta)
        assert found == pytest.approx(theta, rel=1e-6)
    np.testing.assert_array_equal(_path(own, weight_decay=0.1), _path(own))


def test_a_function_of_the_users_own(own_module, tmp_path):
    arm = Arm.parse(f"mine={own_module}:make(slow=0.5)")
    assert arm.version == "3.1"
    np.testing.assert_allclose(_path(arm)[0], 2 - 0.05, rtol=1e-6)
    config = small(
        tmp_path / "study",
        optimizers=("sgdm", f"mine={own_module}:make(slow=0.5)"),
        seeds=(0, 1),
        learning_rate={"": 0.5, "mine": (0.25, 0.5)},
    )
    run_study(config)
    names = ["mine-rate0.25-seed0", "mine-rate0.5-seed0", "sgdm-seed0"]
    assert sorted(path.name for path in (tmp_path / "study").glob("*-seed*")) == names
    settings = json.loads((tmp_path / "study" / names[0] / "config.json").read_text())
    assert settings["optimizer"] == f"{own_module}:make(slow=0.5)"
    assert settings["version"] == "3.1"
    assert [line["alpha"] for line in outcomes.metrics(tmp_path / "study" / names[0])] == [
        0.25,
        0.125,
    ]
    # Another optimizer under the same name is another study.
    for text in (f"mine={own_module}:make", f"mine={own_module}:make(slow=0.25)"):
        with pytest.raises(
            InputError, match=r"another study, with optimizer 'my_optimizers:make\("
        ):
            run_study(config.replace(optimizers=("sgdm", text)))
    # More rates extend it; the ones that are done are not repeated.
    before = (tmp_path / "study" / "sgdm-seed0" / "result.json").read_bytes()
    run_study(config.replace(learning_rate=(0.5, 1.0)))
    assert (tmp_path / "study" / "sgdm-rate1.0-seed0" / "result.json").exists()
    assert (tmp_path / "study" / "sgdm-seed0" / "result.json").read_bytes() == before


def test_an_arm_that_fails_is_said_before_anything_is_written(own_module, tmp_path):
    config = small(tmp_path / "study", optimizers=(f"x={own_module}:fails",))
    with pytest.raises(InputError) as error:
        run_study(config)
    assert str(error.value) == f"optimizers: x={own_module}:fails: not today"
    assert not (tmp_path / "study").exists()


# The state before the first step, what a step makes of it, and why it is refused.
STATES = {
    "text": ({"name": "adam"}, lambda state: state, "the state holds str, which is no array"),
    "function": (jnp.sin, lambda state: state, "the state holds PjitFunction, which is"),
    "growing": (np.zeros(1), lambda state: jnp.concatenate([state, state]), "has another form"),
    "dtype": (np.zeros(1, np.int32), lambda state: state + 0.5, "has another form after the step"),
    "structure": ((), lambda state: (*state, 1), "has another form after the step"),
    "numbers": ((0, 0.5), lambda state: (state[0] + 1, state[1] * 2), None),
    "key": (jax.random.key(0), lambda key: jax.random.fold_in(key, 1), None),
    "nothing": ({"a": None}, lambda state: state, None),
}


@pytest.mark.parametrize("name", STATES)
def test_states_that_no_program_can_hold(name, monkeypatch):
    start, step, why = STATES[name]

    def stepping(learning_rate):
        return optax.GradientTransformation(
            lambda _: start, lambda grads, state, _: (grads, step(state))
        )

    monkeypatch.setattr(optax, "stepping", stepping, raising=False)
    arm, params = Arm.parse("x=optax:stepping"), {"kernel": jnp.zeros((3, 3))}
    if why is None:
        arm.check(params)
    else:
        with pytest.raises(InputError, match=f"^optimizers: x=.* takes no step .*: .*{why}"):
            arm.check(params)


@pytest.mark.parametrize("preset", PRESETS)
def test_built_in_arms_take_a_step_on_the_presets_models(preset):
    run = PRESETS[preset].run
    params = jax.eval_shape(lambda: {"kernel": jnp.zeros((3, 3, 8, 8)), "bias": jnp.zeros(8)})
    for arm in PRESETS[preset].study.arms:
        arm.check(params)
        assert arm.ema_rate(1.0, run.lr_convention, run.decay) == 1.0


@pytest.mark.parametrize("code", ["", "3", "'done'"])
def test_a_module_or_function_that_exits_is_refused(code, own_module, tmp_path):
    (tmp_path / "exits.py").write_text(f"import sys; sys.exit({code})")
    late = f"import sys\n\n\ndef make(learning_rate):\n    sys.exit({code})\n"
    (tmp_path / "late.py").write_text(late)
    with pytest.raises(InputError, match=r"exits exits as it is imported, with .*__main__"):
        Arm.parse("x=exits:make")
    with pytest.raises(InputError, match=r"x=late:make exits, with "):
        Arm.parse("x=late:make").make(lambda _: 0.1, decay=0.9, weight_decay=0.0)
