"""Theory's curves beside the measured leads."""

import numpy as np
import pytest

from rsgdm_optax import linear
from train.report.documents.lead_figures import stable_limit, variance


@pytest.mark.parametrize("correction", [0.0, 0.9, 2.0, 4.0])
def test_the_curve_is_the_librarys(correction):
    method = linear.rsgdm(0.9, correction)
    assert stable_limit(correction) == pytest.approx(method.stability_limit, rel=1e-12)
    a = np.linspace(0.01, 0.99 * method.stability_limit, 20)
    expected = a * linear.stationary_variance(method, 1.0, a)  # α = 1, λ = a
    np.testing.assert_allclose(variance(correction, a), expected, rtol=1e-10)
