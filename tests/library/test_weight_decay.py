"""What decoupled weight decay asks of parameters and masks, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsgdm_optax import rsadam


@pytest.mark.parametrize("inject", [False, True])
def test_without_weight_decay_no_parameters_are_asked_for(inject):
    make = optax.inject_hyperparams(rsadam) if inject else rsadam
    for options in ({}, {"weight_decay": None}):
        optimizer = make(0.1, **options)
        g = {"w": jnp.ones(3)}
        updates, _ = optimizer.update(g, optimizer.init(g))
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)


@pytest.mark.parametrize("mask", [True, False, np.bool_(True), jnp.array(False)], ids=repr)
def test_a_mask_that_inject_hyperparams_has_called_is_refused(mask):
    message = r"^mask must be None, a tree .*got .* Under optax.inject_hyperparams name it in"
    with pytest.raises(ValueError, match=message):
        rsadam(0.1, weight_decay=0.1, mask=mask)
    matrices = lambda tree: jax.tree.map(lambda x: jnp.ndim(x) > 1, tree)  # noqa: E731
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=message):
        optax.inject_hyperparams(rsadam)(0.1, weight_decay=0.1, mask=matrices).init(params)
    optimizer = optax.inject_hyperparams(rsadam, static_args=("mask",))(
        1.0, weight_decay=0.1, mask=matrices
    )
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], 0)


# parameters given to update, other than those of the gradients → what is said
UNFIT = {
    "shape": ({"w": jnp.ones(4)}, r"^the parameter at \['w'\] is of shape \(4,\), its gradient"),
    "dtype": ({"w": jnp.arange(3)}, r"^the parameter at \['w'\] is of dtype int32\. Only floating"),
    "tree": ({"v": jnp.ones(3)}, r"^the gradients' tree is not that of the parameters: PyTreeDef"),
    "None": ({"w": None}, r"^the parameter at \['w'\] is of type NoneType"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_parameters_that_do_not_fit(kind):
    given, message = UNFIT[kind]
    optimizer = rsadam(0.1, weight_decay=0.1)
    g = {"w": jnp.ones(3)}
    with pytest.raises(ValueError, match=message):
        optimizer.update(g, optimizer.init(g), given)
