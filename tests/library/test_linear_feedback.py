"""Noise on quadratics: closed forms, the Lyapunov equation and simulation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsgdm_optax import linear
from rsgdm_optax.linear import LinearMomentum
from tests.library.quadratics import METHODS, each_method, simulate

pytestmark = pytest.mark.usefixtures("x64_module")


def _lyapunov(method, rate, curvature):
    """E θ² of the discrete Lyapunov equation X = A X Aᵀ + B Bᵀ, by elimination."""
    beta, c = method.pole, method.correction
    h0 = method.gain * (1 - beta) * (1 + c)
    h1 = method.gain * (1 - beta) * (beta - c * (1 - beta))
    a = np.array([[1 - rate * h0 * curvature, -rate], [h1 * curvature, beta]])
    b = np.array([-rate * h0, h1])
    x = np.linalg.solve(np.eye(4) - np.kron(a, a), np.outer(b, b).ravel())
    return x[0], max(abs(np.linalg.eigvals(a)))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("c", [-0.4, 0.0, 0.5, 0.9, 4.0, 20.0])
@pytest.mark.parametrize("gain", [1.0, 7.0])
def test_closed_forms_solve_the_lyapunov_equation(decay, c, gain):
    method = LinearMomentum(gain=gain, pole=decay, correction=c)
    for curvature in (1e-3, 1.0, 50.0):
        for share in (1e-3, 0.1, 0.5, 0.9, 0.99):
            rate = share * method.stability_limit / curvature
            variance, radius = _lyapunov(method, rate, curvature)
            found = linear.stationary_variance(method, rate, curvature, 2.0)
            assert found == pytest.approx(2 * variance, rel=1e-9)
            assert linear.convergence_rate(method, rate, curvature) == pytest.approx(
                radius,
                rel=1e-7,  # a double root is known to half of the digits
            )
        beyond = 1.001 * method.stability_limit / curvature
        assert linear.stationary_variance(method, beyond, curvature) == np.inf
        assert linear.stationary_variance(method, beyond, curvature, 0.0) == 0
        assert linear.convergence_rate(method, beyond, curvature) > 1
        assert _lyapunov(method, beyond, curvature)[1] > 1


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.6])
@each_method
def test_stationary_variance_of_a_simulation(name, share):
    # 1,000 runs of 1,500 steps, the first 500 of them forgotten: 10⁶ steps count.
    method, make = METHODS[name]
    rate = share * method.stability_limit / 2.0
    thetas = simulate(make(rate), 2.0, 1000, 1500)[500:]
    by_lane = np.mean(thetas**2, axis=0)
    error = np.std(by_lane) / math.sqrt(len(by_lane))
    variance = float(linear.stationary_variance(method, rate, 2.0))
    assert error < 0.03 * variance
    assert abs(np.mean(by_lane) - variance) < 4 * error


@pytest.mark.slow
@each_method
def test_expected_loss_of_a_simulation(name):
    # First steps included, where RSGDM and Nesterov momentum differ.
    method, make = METHODS[name]
    rate = 0.3 * method.stability_limit
    losses = 0.5 * simulate(make(rate), 1.0, 40_000, 8, start=1.0, noise=0.5**0.5) ** 2
    for steps in (1, 2, 3, 8):
        mean, error = losses[steps - 1].mean(), losses[steps - 1].std() / 200
        assert abs(linear.expected_loss(method, rate, [1.0], 0.5, steps) - mean) < 4 * error


@each_method
def test_expected_loss_without_noise_is_the_loss_of_a_run(name):
    method, make = METHODS[name]
    curvatures, start = np.array([0.1, 1.0, 3.0]), np.array([1.0, 4.0, 0.25])
    rate = 0.2 * method.stability_limit
    theta = jnp.asarray(np.sqrt(start))
    optimizer = make(rate)
    state = optimizer.init(theta)
    for steps in range(1, 7):
        update, state = optimizer.update(curvatures * theta, state, theta)
        theta = theta + update
        wanted = float(np.sum(curvatures * theta**2) / 2)
        found = linear.expected_loss(method, rate, curvatures, 0.0, steps, start)
        assert found == pytest.approx(wanted, rel=1e-10)


@each_method
def test_expected_loss_becomes_the_stationary_one(name):
    method = METHODS[name][0]
    curvatures, noise = np.array([0.2, 1.0]), np.array([1.0, 3.0])
    rate = 0.4 * method.stability_limit
    wanted = curvatures @ linear.stationary_variance(method, rate, curvatures, noise) / 2
    found = linear.expected_loss(method, rate, curvatures, noise, 10_000)
    assert found == pytest.approx(wanted, rel=1e-9)
    assert linear.expected_loss(method, 9 * rate, curvatures, noise, 10_000) == math.inf


def _ratio(c, a, decay=0.9):
    """The variance with weight c at equal α and β, against SGDM's."""
    ours = linear.stationary_variance(linear.rsgdm(decay, c), a, 1.0)
    return float(ours / linear.stationary_variance(linear.sgdm(decay), a, 1.0))


def test_fact_11_ratios():
    ratios = {0.1: 0.93, 1: 0.63, 4: 0.42, 5: 0.42, 6: 0.42, 10: 0.65, 12: 1.30}
    assert {a: round(_ratio(0.9, a), 2) for a in ratios} == ratios
    crossing = 1.9**2 * 0.8 / (0.9 * 0.1 * 2.8)
    assert _ratio(0.9, crossing) == pytest.approx(1, rel=1e-12)
    assert round(crossing, 2) == 11.46
    assert round(crossing / linear.rsgdm(0.9).stability_limit, 2) == 0.84


@pytest.mark.parametrize("decay", [0.3, 0.5, 0.51, 0.7, 0.9, 0.99])
def test_where_rsgdm_is_below_sgdm(decay):
    crossing = (1 + decay) ** 2 * (2 * decay - 1) / (decay * (1 - decay) * (1 + 2 * decay))
    limit = linear.rsgdm(decay).stability_limit
    assert crossing < limit
    if decay <= 0.5:
        assert min(_ratio(decay, a, decay) for a in limit * np.linspace(0.001, 0.999, 200)) >= 1
    else:
        assert _ratio(decay, 0.999 * crossing, decay) < 1 < _ratio(decay, 1.001 * crossing, decay)
        assert max(_ratio(decay, a, decay) for a in crossing * np.linspace(0.001, 0.999, 200)) < 1


def test_expected_loss_is_never_negative():
    assert linear.expected_loss(linear.rsgdm(0.9), 10.0, [1.0], 0.0, 3) >= 0


def test_a_mode_at_rest_stays_there():
    for noise in (0.0, np.array([0.0, 0.1])):
        alone = linear.expected_loss(linear.sgd(), 3.0, [0.1], np.max(noise), 9_999)
        both = linear.expected_loss(linear.sgd(), 3.0, [1.0, 0.1], noise, 9_999, [0.0, 1.0])
        assert both == alone  # the first one diverges from everywhere else
    assert linear.expected_loss(linear.sgd(), 3.0, [1.0], 0.0, 9_999, 0.0) == 0


def test_sgdm_takes_no_noise_away():
    for decay in (0.0, 0.5, 0.9, 0.999):
        method = linear.sgdm(decay)
        for share in (1e-6, 0.1, 0.9):
            rate = share * method.stability_limit
            floor = rate / 2
            variance = float(linear.stationary_variance(method, rate, 1.0))
            assert variance >= floor
            if share == 1e-6:
                assert variance == pytest.approx(floor, rel=1e-4)


def _best_correction(a, decay=0.9):
    """The weight of least variance, on a grid of thousandths."""
    weights = np.arange(0.0, 6.0, 0.001)
    variances = [float(linear.stationary_variance(linear.rsgdm(decay, c), a, 1.0)) for c in weights]
    return weights[int(np.argmin(variances))]


@pytest.mark.slow
def test_the_correction_of_least_variance():
    found = [_best_correction(a) for a in (1e-4, 2.0, 4.0)]
    assert found == pytest.approx([4.25, 1.27, 0.84], abs=0.006)
    for decay in (0.5, 0.7):
        limit = (3 * decay - 1) / (4 * (1 - decay))
        assert _best_correction(1e-4, decay) == pytest.approx(limit, abs=0.003)


def test_shapes():
    method = linear.rsgdm(0.9)
    assert linear.stationary_variance(method, 1.0, 1.0).shape == ()
    assert linear.stationary_variance(method, 1.0, [[1.0], [2.0]], [1.0, 2.0, 3.0]).shape == (2, 3)
    assert linear.convergence_rate(method, 1.0, jnp.ones((2, 2))).shape == (2, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda _: linear.stationary_variance(linear.sgd, 1.0, 1.0), "method must be a LinearMom"),
        (lambda m: linear.stationary_variance(m, 0.0, 1.0), "learning_rate must be a pos.*got 0.0"),
        (lambda m: linear.stationary_variance(m, "a", 1.0), "learning_rate must be a pos.*got 'a'"),
        (lambda m: linear.stationary_variance(m, 1.0, 0.0), "curvature must be positive .*got 0.0"),
        (lambda m: linear.stationary_variance(m, 1.0, "a"), "curvature must be positive .*got 'a'"),
        (
            lambda m: linear.stationary_variance(m, 1.0, [[1], [2, 3]]),
            "curvature must be an array, its rows of one",
        ),
        (lambda m: linear.stationary_variance(m, 1.0, np.nan), "curvature must be .*got nan"),
        (lambda m: linear.stationary_variance(m, 1.0, 1.0, -1.0), "noise_variance must be .*-1.0"),
        (
            lambda m: linear.stationary_variance(m, 1.0, [1.0, 2.0], [1.0] * 3),
            r"noise_variance must go with curvatures of shape \(2,\), got shape \(3,\)",
        ),
        (lambda m: linear.convergence_rate(m, np.inf, 1.0), "learning_rate must be .*got inf"),
        (lambda m: linear.convergence_rate(m, 1.0, 1j), "curvature must be positive .*got 1j"),
        (lambda m: linear.expected_loss(m, 1.0, [[1.0]], 0.0, 3), r"curvatures must be of shape"),
        (
            lambda m: linear.expected_loss(m, 1.0, [1.0], [1.0, 2.0], 3),
            r"noise_variances must go with|noise_variances must be a number or of shape \(1,\)",
        ),
        (
            lambda m: linear.expected_loss(m, 1.0, [1.0, 2.0], np.ones((3, 2)), 3),
            r"noise_variances must be a number or of shape \(2,\), got shape \(3, 2\)",
        ),
        (
            lambda m: linear.expected_loss(m, 1.0, [1.0], 0.0, 3, [1.0, 2.0]),
            r"start must be a number or of shape \(1,\), got shape \(2,\)",
        ),
        (
            lambda _: linear.best_tuning(
                linear.sgdm, [1.0], noise_variances=[[1.0], [2.0]], steps=3
            ),
            r"noise_variances must be a number or of shape \(1,\), got shape \(2, 1\)",
        ),
        (lambda _: linear.best_tuning(linear.sgdm, [1e-33, 1.0]), "curvatures must be within a r"),
        (lambda m: linear.expected_loss(m, 1.0, [1.0], 0.0, 0), "steps must be .*got 0"),
        (lambda m: linear.expected_loss(m, 1.0, [1.0], 0.0, 1, -1), "start must be .*got -1"),
        (lambda m: linear.best_tuning(m, [1.0]), "family must be a function from .*got Linear"),
        (lambda _: linear.best_tuning(linear.sgdm, []), "curvatures must be of shape"),
        (lambda _: linear.best_tuning(linear.sgdm, [1.0, -1.0]), "curvatures must be positive"),
        (
            lambda _: linear.best_tuning(linear.sgdm, [1.0], steps=3),
            "noise_variances and steps must be given together.*steps 3",
        ),
        (
            lambda _: linear.best_tuning(linear.sgdm, [1.0], noise_variances=1.0, steps=1.5),
            "steps must be a whole number of 1 or more, got 1.5",
        ),
        (lambda _: linear.best_tuning(lambda decay: decay, [1.0]), "^family must be a function"),
        (
            lambda m: jax.jit(lambda x: linear.convergence_rate(m, x, 1.0))(1.0),
            "learning_rate must be .*Trace",
        ),
        (
            lambda m: jax.jit(lambda x: linear.convergence_rate(m, 1.0, x))(1.0),
            "curvature must be .*Trace",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build(linear.rsgdm(0.9))
