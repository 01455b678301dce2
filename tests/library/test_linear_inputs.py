"""What the methods of the family make of numbers: traced, extreme, of any dtype, and wrong ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsgdm_optax import linear
from rsgdm_optax.linear import LinearMomentum
from tests.library.optimizers import updates_of


@pytest.mark.slow
def test_traced_hyperparameters():
    gradients = jnp.asarray(np.random.default_rng(0).standard_normal((20, 3)), jnp.float32)
    makers = {
        "sgdm": linear.sgdm,
        "nesterov": linear.nesterov,
        "rsgdm": lambda x: linear.rsgdm(x, 2 * x),
        "qhm": lambda x: linear.qhm(x, x / 2),
        "heavy_ball": lambda x: linear.heavy_ball(x, nesterov=True),
        "dampened": lambda x: linear.heavy_ball(0.9, x),
        "pid": lambda x: linear.pid(0.9, x, 2 * x),
        "pid_paper": lambda x: linear.pid_paper(0.9, x),
        "mars": lambda x: linear.mars(x, x),
        "lion": lambda x: linear.lion(x, 0.99),
        "adan": linear.adan,
        "grokfast": linear.grokfast,
        "gpa": lambda x: linear.gpa(x, x),
        "aggmo": linear.aggmo,
        "ogda": linear.ogda,
    }
    for name, maker in makers.items():

        @jax.jit
        def traced(x, g, maker=maker):
            transformation = maker(x).transformation(-1.0)
            return jax.lax.scan(
                lambda state, g: transformation.update(g, state)[::-1],
                transformation.init(g[0]),
                g,
            )[1]

        wanted = updates_of(maker(0.75).transformation(-1.0), gradients)
        found = traced(0.75, gradients)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-5, err_msg=name)


def test_first_gradients_that_are_not_finite():
    # The start of RSGDM with c = β drops the first gradient, even if it is infinite.
    for method, finite in (
        (linear.rsgdm(0.9), [False, True, True]),
        (linear.sgd(), [False, True, True]),
        (linear.nesterov(0.9), [False, False, False]),
    ):
        updates = updates_of(method.transformation(), np.array([np.inf, 1.0, 1.0], np.float32))
        assert list(np.isfinite(updates)) == finite


@pytest.mark.parametrize("decay", [0.9, 0.999])
@pytest.mark.parametrize("maker", [linear.sgdm, linear.nesterov, linear.rsgdm])
def test_a_pole_near_one_in_float32(maker, decay):
    # As the optimizers by these names, below twenty units in the last place on noise.
    noise = np.random.default_rng(0).standard_normal((round(3 / (1 - decay)), 64))
    noise = noise.astype(np.float32)
    last = updates_of(maker(decay).transformation(-1.0), noise)[-1]
    exact = maker(decay).weights(len(noise)) @ noise.astype(np.float64)
    loss = np.sqrt(np.mean((last - exact) ** 2) / np.mean(exact**2))
    assert loss < 20 * np.finfo(np.float32).eps


def test_a_small_pole_loses_no_digits():
    # n_t = (h_0 − h_1/β)·g_t + s_t/β would lose seven digits here.
    method = LinearMomentum(pole=1e-7, correction=1.0)
    gradients = np.random.default_rng(0).standard_normal(30).astype(np.float32)
    updates = updates_of(method.transformation(-1.0), gradients)
    exact = [method.weights(t) @ gradients[:t].astype(np.float64) for t in range(1, 31)]
    np.testing.assert_allclose(updates, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: linear.sgdm(1.0), r"decay must be a real number in \[0, 1\), got 1.0"),
        (lambda: linear.rsgdm(0.9, "a"), "correction must be a finite real number, got 'a'"),
        (lambda: linear.rsgdm(0.9, None, "x"), "first_difference must be 'zero' or .*got 'x'"),
        (lambda: linear.qhm(0.9, np.nan), "nu must be a finite real number, got nan"),
        (lambda: linear.heavy_ball(1.0), r"momentum must be .*\[0, 1\), got 1.0"),
        (lambda: linear.heavy_ball(0.9, 1.0), r"dampening must be .*\[0, 1\), got 1.0"),
        (lambda: linear.heavy_ball(0.9, 0.5, nesterov=True), "nesterov must be False unless"),
        (lambda: linear.heavy_ball(0.0, nesterov=True), "nesterov must be False unless"),
        (lambda: linear.heavy_ball(0.9, nesterov=1), "nesterov must be True or False, got 1"),
        (lambda: linear.pid(0.9, -1.0), "gain must be a positive number, got"),
        (lambda: linear.pid(0.9, "a"), "integral must be .*got 'a'"),
        (lambda: linear.pid(0.9, 1.0, None), "derivative must be .*got None"),
        (lambda: linear.pid_paper(-0.1), r"momentum must be .*got -0.1"),
        (lambda: linear.mars(2), r"b1 must be .*got 2"),
        (lambda: linear.mars(0.9, np.inf), "gamma must be .*got inf"),
        (lambda: linear.lion(0.9, 1.0), r"b2 must be .*got 1.0"),
        (lambda: linear.lion(-1, 0.9), r"b1 must be .*got -1"),
        (lambda: linear.adan(0.9, True), "weight must be .*got True"),
        (lambda: linear.grokfast(0.9, -1.0), "gain must be a positive number, got 0.0"),
        (lambda: linear.gpa(1.0, 0.5), r"mu_x must be .*got 1.0"),
        (lambda: linear.gpa(0.5, None), "mu_y must be .*got None"),
        (lambda: linear.aggmo(1.5), "momentum must be .*got 1.5"),
        (lambda: linear.ogda("x"), "weight must be .*got 'x'"),
        (lambda: LinearMomentum(gain=0.0), "gain must be a positive number, got 0.0"),
        (lambda: LinearMomentum(gain=-1), "gain must be a positive number, got -1"),
        (lambda: LinearMomentum(gain=np.inf), "gain must be a finite real number, got inf"),
        (lambda: LinearMomentum(pole=1), r"pole must be a real number in \[0, 1\), got 1"),
        (lambda: LinearMomentum(correction=np.nan), "correction must be a finite .*got nan"),
        (lambda: LinearMomentum(first=1.0), "first must be None or two numbers, got 1.0"),
        (lambda: LinearMomentum(first=(1.0,)), r"first must be None or two numbers, got \(1.0,\)"),
        (lambda: LinearMomentum(first=(1.0, "a")), "first must be a finite .*got 'a'"),
        (lambda: LinearMomentum(pole=jnp.ones(2)), "pole must be .*got Array"),
        (lambda: linear.sgd().transformation("a"), "learning_rate must be .*schedule.*got 'a'"),
        (lambda: linear.sgd().transformation(1.0, "int8"), "accumulator_dtype must be .*got 'int8"),
        (lambda: linear.ogda().nu, "nu: .*correction is 0, got 1.0"),
        (lambda: jax.jit(lambda x: linear.sgdm(x).lag)(0.5), "pole must be .*got .*Trace"),
        (lambda: linear.sgd().weights(0), "steps must be a whole number of 1 or more, got 0"),
        (lambda: linear.sgd().impulse(True), "steps must be a whole number .*got True"),
        (lambda: linear.sgd().frequency_response("a"), "frequencies must be real numbers, got"),
        (
            lambda: jax.jit(linear.sgd().frequency_response)(0.1),
            "frequencies must be an array whose values are known, got .*Trace",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("dtype", "value"), [("bfloat16", 0.5), ("float16", 0.5), ("float32", 0.5), ("int32", 0)]
)
@pytest.mark.parametrize(
    "make",
    [
        linear.sgdm,
        lambda x: linear.qhm(x, 0.25),
        lambda x: linear.qhm(0.9, x),
        linear.nesterov,
        linear.heavy_ball,
        lambda x: linear.rsgdm(0.9, x),
        lambda x: LinearMomentum(pole=x, first=(x, 1.0)),
    ],
)
def test_strict_promotion_of_hyperparameters(make, dtype, value):
    # The updates are those of the Python number, in the gradient's own precision.
    gradients = [jnp.array([1.0, -3.0], "bfloat16"), jnp.array([2.0, 0.5], "bfloat16")]
    with jax.numpy_dtype_promotion("strict"):
        for number in (jnp.array(value, dtype), float(value)):
            optimizer = make(number).transformation(0.125)
            state, path = optimizer.init(gradients[0]), []
            for gradient in gradients:
                update, state = optimizer.update(gradient, state)
                assert update.dtype == gradient.dtype
                path.append(update.astype("float32"))
            if isinstance(number, jax.Array):
                traced = path
    np.testing.assert_allclose(traced, path, rtol=2**-7)  # two roundings to bfloat16
