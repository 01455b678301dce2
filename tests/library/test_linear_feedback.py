"""Noise, rates and tuning on quadratics: closed forms, the Lyapunov equation and simulation."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax
from rsgdm_optax import linear
from rsgdm_optax.linear import LinearMomentum

pytestmark = pytest.mark.usefixtures("x64_module")


def _optimistic(decay, c):
    return lambda rate: optax.chain(
        optax.scale_by_optimistic_gradient(1.0, c),
        optax.ema(decay, debias=False),
        optax.scale(-rate),
    )


# name: (description, the optimizer of a learning rate, which is not made from it)
METHODS = {
    "sgd": (linear.sgd(), optax.sgd),
    "sgdm": (linear.sgdm(0.9), functools.partial(rsgdm_optax.sgdm, decay=0.9)),
    "rsgdm": (linear.rsgdm(0.9), functools.partial(rsgdm_optax.rsgdm, decay=0.9)),
    "nesterov": (linear.nesterov(0.9), functools.partial(rsgdm_optax.nesterov, decay=0.9)),
    "c 0.45": (linear.rsgdm(0.9, 0.45), _optimistic(0.9, 0.45)),
    "c 2": (linear.rsgdm(0.9, 2.0), _optimistic(0.9, 2.0)),
    "c 4": (linear.rsgdm(0.9, 4.0), _optimistic(0.9, 4.0)),
    "c -0.3": (linear.rsgdm(0.9, -0.3), _optimistic(0.9, -0.3)),
    "heavy_ball": (linear.heavy_ball(0.8), functools.partial(optax.sgd, momentum=0.8)),
    "ogda": (linear.ogda(0.7), lambda rate: optax.optimistic_gradient_descent(rate, 1.0, 0.7)),
}
each_method = pytest.mark.parametrize("name", METHODS)


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


def _simulate(optimizer, curvature, lanes, steps, start=0.0, noise=1.0):
    """θ of every step, shape (steps, lanes), with gradients λθ + noise."""

    @jax.jit
    def run():
        def step(carry, key):
            theta, state = carry
            gradient = curvature * theta + noise * jax.random.normal(key, (lanes,))
            update, state = optimizer.update(gradient, state, theta)
            return (theta + update, state), theta + update

        theta = jnp.full((lanes,), start)
        keys = jax.random.split(jax.random.key(0), steps)
        return jax.lax.scan(step, (theta, optimizer.init(theta)), keys)[1]

    return np.asarray(run())


def _slope(path, end):
    """The factor by which |θ| shrinks a step, over the last three quarters of `end` steps.

    Where the two roots are complex a path oscillates, and the ratio of two points says nothing. The
    slope of log|θ| over many does, to 10⁻⁴: log|cos| scatters by about 1 a step around its mean.
    """
    steps = np.arange(end // 4, end)
    return math.exp(np.polyfit(steps, np.log(path[steps]), 1)[0])


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.9])
@each_method
def test_convergence_rate_of_a_run(name, share):
    method, make = METHODS[name]
    if name == "rsgdm":  # of three buffers: see the next test
        make = functools.partial(rsgdm_optax.rsgdm, decay=0.9, compact=True)
    rate = share * method.stability_limit / 2.0
    path = np.abs(_simulate(make(rate), 2.0, 1, 4000, start=1.0, noise=0.0)[:, 0])
    assert _slope(path, np.count_nonzero(path > 1e-280)) == pytest.approx(
        float(linear.convergence_rate(method, rate, 2.0)), rel=1e-4
    )


def test_three_buffers_end_at_a_rate_of_their_own():
    # m and c·z keep β^t of the first gradient, and cancel in n to rounding only. What is left of
    # it, 10⁻¹⁶, fades like β^t too, and in the end outlives a path that shrinks faster.
    curvature, decay = 2.0, 0.9
    rate = 0.9 * linear.rsgdm(decay).stability_limit / curvature
    shrinks = float(linear.convergence_rate(linear.rsgdm(decay), rate, curvature))
    assert shrinks < 0.8 < decay
    one, three = (
        np.abs(_simulate(optimizer, curvature, 1, 1500, start=1.0, noise=0.0)[:, 0])
        for optimizer in (
            rsgdm_optax.rsgdm(rate, decay, compact=True),
            rsgdm_optax.rsgdm(rate, decay),
        )
    )
    assert _slope(one, 1500) == pytest.approx(shrinks, rel=1e-4)
    assert _slope(three, 1500) == pytest.approx(decay, rel=1e-4)
    np.testing.assert_allclose(three, one, rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.6])
@each_method
def test_stationary_variance_of_a_simulation(name, share):
    # 1,000 runs of 1,500 steps, the first 500 of them forgotten: 10⁶ steps count.
    method, make = METHODS[name]
    rate = share * method.stability_limit / 2.0
    thetas = _simulate(make(rate), 2.0, 1000, 1500)[500:]
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
    losses = 0.5 * _simulate(make(rate), 1.0, 40_000, 8, start=1.0, noise=0.5**0.5) ** 2
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


def test_fact_12_rates():
    for kappa in (2.0, 10.0, 1e4):
        root = math.sqrt(kappa)
        rates = [
            linear.best_tuning(family, [1 / kappa, 1.0]).value
            for family in (linear.sgd, linear.sgdm, linear.rsgdm, linear.nesterov)
        ]
        rsgdm = 1 - 2 / math.sqrt(3 * kappa + 1)
        wanted = [(kappa - 1) / (kappa + 1), (root - 1) / (root + 1), rsgdm, rsgdm]
        assert rates == pytest.approx(wanted, rel=1e-7)
        assert rates[1] < rates[2]


@pytest.mark.parametrize("kappa", [2.0, 100.0])
@pytest.mark.parametrize("family", [linear.sgd, linear.sgdm, linear.rsgdm, linear.nesterov])
def test_best_tuning_equals_its_own_search(family, kappa):
    curvatures = [3 / kappa, 1.0, 3.0]
    closed = linear.best_tuning(family, curvatures)
    search = linear.best_tuning(
        lambda decay: family() if family is linear.sgd else family(decay), curvatures
    )
    assert search.value == pytest.approx(closed.value, rel=2e-6)
    assert search.value >= closed.value - 1e-7
    assert search.learning_rate == pytest.approx(closed.learning_rate, rel=1e-5)
    assert search.method.pole == pytest.approx(closed.method.pole, abs=1e-6)
    assert (
        closed.value
        == linear.convergence_rate(closed.method, closed.learning_rate, np.array(curvatures)).max()
    )


def test_one_curvature_alone():
    # SGD reaches the minimum in one step; the closed forms say so.
    for family in (linear.sgd, linear.sgdm, linear.rsgdm):
        tuned = linear.best_tuning(family, [2.0])
        assert tuned.method.pole == 0
        assert tuned.learning_rate == 0.5
        assert tuned.value == 0


@pytest.mark.slow
def test_with_noise_tuned_rsgdm_needs_fewer_steps():
    # Fact 12 on a small quadratic: h = 1/i, noise h/100. Without noise it needs more.
    h = 1 / np.arange(1, 31.0)
    target = linear.best_tuning(linear.sgdm, h, noise_variances=h / 100, steps=200)
    ours = linear.best_tuning(linear.rsgdm, h, noise_variances=h / 100, steps=182)
    assert ours.value < target.value
    # It is the least on a grid around, too, to the digits that the docstring promises.
    for decay in 1 - (1 - ours.method.pole) * np.array([0.98, 0.999, 1.001, 1.02]):
        for rate in ours.learning_rate * np.array([0.98, 0.999, 1.0, 1.001, 1.02]):
            near = linear.expected_loss(linear.rsgdm(decay), rate, h, h / 100, 182)
            assert near > ours.value * (1 - 1e-6)
    without = [
        linear.best_tuning(family, h, noise_variances=0.0, steps=200).value
        for family in (linear.sgdm, linear.rsgdm)
    ]
    assert without[0] < without[1]


def _steps_needed(curvatures, noise_variances, target, low, high):
    """The fewest steps in which tuned RSGDM gets down to a loss, by bisection."""
    while low < high:
        middle = (low + high) // 2
        tuned = linear.best_tuning(
            linear.rsgdm, curvatures, noise_variances=noise_variances, steps=middle
        )
        low, high = (low, middle) if tuned.value <= target else (middle + 1, high)
    return low


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modes", "batch", "needed"),
    [
        (100, 100, 79),
        (100, math.inf, 158),
        pytest.param(1000, 100, 71, marks=pytest.mark.slow),
        pytest.param(1000, math.inf, 151, marks=pytest.mark.slow),
    ],
)
def test_fact_12_steps_to_what_tuned_sgdm_reaches_in_a_hundred(modes, batch, needed):
    # h = 1/i and noise h/B: with noise RSGDM needs fewer, without more.
    h = 1 / np.arange(1, modes + 1.0)
    target = linear.best_tuning(linear.sgdm, h, noise_variances=h / batch, steps=100).value
    # Where two losses are within a millionth, the search may miss by a step.
    assert _steps_needed(h, h / batch, target, needed - 3, needed + 3) == pytest.approx(
        needed, abs=1
    )


def test_rsgdm_lands_in_one_step_where_nesterov_overshoots():
    # At α·λ = 1/(1−β) the first step, (1−β)·g₁, ends at the minimum, and no buffer is left.
    curvature, start = 4.0, 3.0
    for decay in (0.5, 0.75):
        a = 1 / (1 - decay)
        assert a < linear.rsgdm(decay).stability_limit
        paths = {
            make: _simulate(make(a / curvature, decay), curvature, 1, 10, start=start, noise=0.0)[
                :, 0
            ]
            for make in (rsgdm_optax.rsgdm, rsgdm_optax.nesterov, rsgdm_optax.sgdm)
        }
        np.testing.assert_array_equal(paths[rsgdm_optax.rsgdm], 0.0)
        assert paths[rsgdm_optax.nesterov][0] == pytest.approx(-decay * start)
        # SGDM takes the same first step, but its average goes on.
        assert paths[rsgdm_optax.sgdm][0] == 0
        assert paths[rsgdm_optax.sgdm][1] == pytest.approx(-decay * start)


def test_a_start_of_its_own_excites_a_cancelled_pole():
    plain, rsgdm = linear.qhm(0.9, 0.0), linear.rsgdm(0.9, 9.0)
    assert linear.convergence_rate(plain, 0.5, 1.0) == pytest.approx(0.5)
    assert linear.convergence_rate(rsgdm, 0.5, 1.0) == pytest.approx(0.9)


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
        (lambda m: linear.stationary_variance(m, 1.0, [[1], [2, 3]]), "curvature must be positive"),
        (lambda m: linear.stationary_variance(m, 1.0, np.nan), "curvature must be .*got nan"),
        (lambda m: linear.stationary_variance(m, 1.0, 1.0, -1.0), "noise_variance must be .*-1.0"),
        (
            lambda m: linear.stationary_variance(m, 1.0, [1.0, 2.0], [1.0] * 3),
            r"noise_variance must go with curvatures of shape \(2,\), got shape \(3,\)",
        ),
        (lambda m: linear.convergence_rate(m, np.inf, 1.0), "learning_rate must be .*got inf"),
        (lambda m: linear.convergence_rate(m, 1.0, 1j), "curvature must be positive .*got 1j"),
        (lambda m: linear.expected_loss(m, 1.0, 1.0, 0.0, 3), r"curvatures must be of shape"),
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
        (lambda _: linear.best_tuning(lambda decay: decay, [1.0]), "method must be a LinearMom"),
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
