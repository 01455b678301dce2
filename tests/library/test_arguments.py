"""Bad arguments: the error names the argument, its value and what is allowed."""

import fractions
import functools
import math
import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from rsgdm_optax import nesterov, rsgdm, scale_by_rsgdm, scale_by_rsgdm_compact, sgdm

SCALE_BY = [scale_by_rsgdm, scale_by_rsgdm_compact]
ALIASES = [rsgdm, sgdm, nesterov]


def _with_decay(factory, decay):
    return factory(decay=decay) if factory in SCALE_BY else factory(0.1, decay=decay)


def _raises(*parts):
    # A value is shown by the first hundred characters of its repr.
    return pytest.raises(ValueError, match=".*".join(re.escape(part[:100]) for part in parts))


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
@pytest.mark.parametrize(
    "decay",
    [
        *(1, 10**400, 1.0, -0.1, 1.5, math.nan, math.inf, np.float32(1.0), np.array(-1.0)),
        *(np.array([0.9]), "0.9", None, True, np.True_, 0.9j, [0.9], max),
    ],
    ids=repr,
)
def test_decay(factory, decay):
    with _raises("decay", "[0, 1)", repr(decay)):
        _with_decay(factory, decay)


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
@pytest.mark.parametrize(
    "decay",
    [
        *(0, 0.0, 0.999, np.float64(0.9), np.float32(0.9), np.array(0.9)),
        *(fractions.Fraction(9, 10), ml_dtypes.bfloat16(0.9)),
    ],
    ids=repr,
)
def test_decays_that_are_fine_promote_nothing(factory, decay, x64):
    transformation = _with_decay(factory, decay)
    gradient = jnp.ones(2, jnp.float32)
    update, state = transformation.update(gradient, transformation.init(gradient))
    assert update.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} <= {np.dtype("f4"), np.dtype("i4")}


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
def test_values_of_jax_decays_are_not_inspected(factory):
    _with_decay(factory, jnp.array(2.0))
    jax.jit(lambda decay: _with_decay(factory, decay).init(jnp.ones(2)))(2.0)


NO_REAL_SCALARS = {
    "one": jnp.array([0.5]),
    "matrix": jnp.full((2, 3), 0.5),
    "empty": jnp.zeros(0),
    "complex": jnp.array(0.5 + 0j),
    "bool": jnp.array(True),
    "key": jax.random.key(0),
}


@pytest.mark.parametrize("kind", NO_REAL_SCALARS)
@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
def test_jax_arrays_that_hold_no_real_number(factory, kind):
    # Shapes and dtypes are known of tracers, too.
    array = NO_REAL_SCALARS[kind]
    with _raises("decay must be a real number in [0, 1), got", repr(array)[:5]):
        _with_decay(factory, array)
    with _raises("decay", "got"):
        jax.jit(lambda decay: _with_decay(factory, decay).init(jnp.ones(2)))(array)
    if factory in ALIASES:
        with _raises("learning_rate must be a finite real number or a schedule", repr(array)[:5]):
            factory(array)
        with _raises("learning_rate", "got"):
            jax.jit(lambda rate: factory(rate).init(jnp.ones(2)))(array)


@pytest.mark.parametrize("factory", ALIASES)
@pytest.mark.parametrize("rate", [math.nan, math.inf, 10**400, "0.1", None, True, [0.1]], ids=repr)
def test_learning_rate(factory, rate):
    with _raises("learning_rate", "finite real number or a schedule", repr(rate)):
        factory(rate)


@pytest.mark.parametrize("factory", ALIASES)
def test_numpy_learning_rates_promote_nothing(factory):
    gradient = jnp.ones(2, jnp.bfloat16)
    optimizer = factory(np.float64(0.1))
    assert optimizer.update(gradient, optimizer.init(gradient))[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("factory", [*SCALE_BY, lambda **kwargs: rsgdm(0.1, **kwargs)])
@pytest.mark.parametrize("value", ["one", "", None, 0, True])
def test_first_difference(factory, value):
    with _raises("first_difference", "'zero' or 'gradient'", repr(value)):
        factory(first_difference=value)


CORRECTED = pytest.mark.parametrize("factory", [*SCALE_BY, functools.partial(rsgdm, 0.1)])


@CORRECTED
@pytest.mark.parametrize(
    "correction",
    [
        *(-0.1, 9.00002, 10, math.nan, math.inf, 10**400, np.float32(9.1), np.array(-1.0)),
        *(np.array([0.9]), "0.9", True, 0.9j, [0.9], max, jnp.array([0.5]), jnp.array(0.5 + 0j)),
    ],
    ids=repr,
)
def test_correction(factory, correction):
    said = "correction must be None or a real number in [0, decay/(1-decay)] = [0, 9], got"
    with _raises(said, repr(correction)[:5]):
        factory(0.9, correction=correction)
    if not isinstance(correction, jax.Array):
        with _raises("= [0, 0], got", repr(correction)):
            factory(0.0, correction=correction)


@CORRECTED
def test_corrections_that_are_fine(factory):
    one = jnp.ones(2)
    # The upper end, in the precision of whoever computed it.
    ends = [(d, d / (1 - d)) for d in (0.0, 0.3, 0.9, 0.99, np.float32(0.9), np.float32(0.999))]
    ends += [
        (0.9, 9),
        (0.9, 9.0),
        (0.99, 99.0),
        (np.float32(0.9), 9.0),
        (0.75, ml_dtypes.bfloat16(3)),
    ]
    for decay, correction in [
        (0.9, 0),
        (0.9, np.float32(0.5)),
        (0.9, fractions.Fraction(1, 2)),
        *ends,
    ]:
        transformation = factory(decay, correction=correction)
        update, _ = transformation.update(one, transformation.init(one))
        assert update.dtype == one.dtype
    # JAX scalars are not looked at; what a number may be beside one, is.
    for correction in (jnp.array(-3.0), jnp.array(100), jnp.bfloat16(0.5)):
        transformation = factory(0.9, correction=correction)
        with jax.numpy_dtype_promotion("strict"):
            transformation.update(one, transformation.init(one))
    with jax.numpy_dtype_promotion("strict"):
        for decay, correction in [(jnp.bfloat16(0.5), jnp.float16(0.5)), (jnp.array(0), 0.0)]:
            transformation = factory(decay, correction=correction)
            transformation.update(one, transformation.init(one))
    factory(jnp.array(0.9), correction=50.0)
    with _raises("correction", "[0, inf)", "-1.0"):
        factory(jnp.array(0.9), correction=-1.0)


@pytest.mark.parametrize("value", ["yes", None, 1])
def test_compact(value):
    with _raises("compact", "True or False", repr(value)):
        rsgdm(0.1, compact=value)


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
@pytest.mark.parametrize(
    "dtype",
    [jnp.int32, jnp.float8_e4m3fn, "int8", bool, "float33", "bf16", 3, str, jnp.ones(2)],
    ids=repr,
)
def test_accumulator_dtype(factory, dtype):
    arguments = () if factory in SCALE_BY else (0.1,)
    with _raises(
        "accumulator_dtype", "floating-point or complex dtype of 16 bits or more", repr(dtype)
    ):
        factory(*arguments, accumulator_dtype=dtype)


def test_a_dtype_that_inject_hyperparams_takes_for_a_schedule():
    optimizer = optax.inject_hyperparams(rsgdm)(0.1, accumulator_dtype=jnp.float32)
    with _raises("accumulator_dtype", "got Array", "static_args"):
        optimizer.init(jnp.ones(2))
    optimizer = optax.inject_hyperparams(rsgdm)(0.1, accumulator_dtype="float32")
    state = optimizer.init(jnp.ones(2, jnp.bfloat16))
    assert optax.tree.get(state, "m").dtype == jnp.float32


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
def test_every_transformation_takes_extra_arguments(factory):
    transformation = factory() if factory in SCALE_BY else factory(0.1)
    assert isinstance(transformation, optax.GradientTransformationExtraArgs)
    state = transformation.init(jnp.ones(2))
    transformation.update(jnp.ones(2), state, None, value=1.0)


@pytest.mark.parametrize("factory", SCALE_BY + ALIASES)
def test_options_after_decay_are_keyword_only(factory):
    arguments = () if factory in SCALE_BY else (0.1,)
    with pytest.raises(TypeError, match="positional"):
        factory(*arguments, 0.9, "zero")


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="momentum"):
        optax.chain(rsgdm(0.1, momentum=0.9))


@pytest.mark.parametrize("value", [jnp.ones((20, 20)), np.ones((2, 2)), jax.random.key(0)])
def test_a_message_is_one_line(value):
    for call in (
        lambda: sgdm(0.1, value),
        lambda: sgdm(value),
        lambda: rsgdm(0.1, correction=value),
    ):
        with pytest.raises(ValueError, match=r"got ") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [0.5j, None, "a", jnp.array(0.5j), True])
def test_a_schedule_of_no_real_numbers(value):
    optimizer = sgdm(lambda _count: value)
    with pytest.raises(
        ValueError, match=r"^learning_rate must be a schedule of real numbers, got .* from it"
    ):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
