"""How fast paths on a quadratic shrink: closed forms against runs."""

import functools
import math

import numpy as np
import pytest

import rsgdm_optax
from rsgdm_optax import linear
from tests.library.quadratics import METHODS, each_method, simulate

pytestmark = pytest.mark.usefixtures("x64_module")


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
    path = np.abs(simulate(make(rate), 2.0, 1, 4000, start=1.0, noise=0.0)[:, 0])
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
        np.abs(simulate(optimizer, curvature, 1, 1500, start=1.0, noise=0.0)[:, 0])
        for optimizer in (
            rsgdm_optax.rsgdm(rate, decay, compact=True),
            rsgdm_optax.rsgdm(rate, decay),
        )
    )
    assert _slope(one, 1500) == pytest.approx(shrinks, rel=1e-4)
    assert _slope(three, 1500) == pytest.approx(decay, rel=1e-4)
    np.testing.assert_allclose(three, one, rtol=0, atol=1e-14)


def test_rsgdm_lands_in_one_step_where_nesterov_overshoots():
    # At α·λ = 1/(1−β) the first step, (1−β)·g₁, ends at the minimum, and no buffer is left.
    curvature, start = 4.0, 3.0
    for decay in (0.5, 0.75):
        a = 1 / (1 - decay)
        assert a < linear.rsgdm(decay).stability_limit
        paths = {
            make: simulate(make(a / curvature, decay), curvature, 1, 10, start=start, noise=0.0)[
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


@pytest.mark.parametrize(
    "make",
    [
        lambda b: linear.qhm(b, 0.0),
        lambda b: linear.gpa(b, 0.0),
        lambda b: linear.mars(b, 1.0),
        lambda b: linear.lion(0.0, b),
        lambda b: linear.rsgdm(b, b / (1 - b), "gradient"),
        lambda b: linear.LinearMomentum(pole=b, correction=b / (1 - b)),
    ],
)
def test_pole_and_zero_cancel_whatever_they_round_to(make):
    rates = [linear.convergence_rate(make(b / 100), 0.9, 1.0) for b in range(1, 100)]
    np.testing.assert_allclose(rates, 0.1, rtol=1e-12)


def test_rates_whose_squares_overflow():
    # Far from the stable end the larger root is the sum of both: 1 + β − a(1−β)(1+c).
    found = linear.convergence_rate(linear.sgdm(0.5), 1e200, [1e-200, 1e-40, 1.0])
    assert found[0] == linear.convergence_rate(linear.sgdm(0.5), 1.0, 1.0)
    np.testing.assert_allclose(found[1:], [5e159, 5e199], rtol=1e-15)
