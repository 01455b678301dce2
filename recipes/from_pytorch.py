"""From PyTorch's SGD to this package in the middle of a training, with its momentum buffers.

python recipes/from_pytorch.py

PyTorch sums, b = β·b + (1−τ)·g with dampening τ; here gradients are averaged, m = β·m + (1−β)·g.
So m = (1−β)/(1−τ)·b and α = lr·(1−τ)/(1−β). That is exact for `sgdm` (nesterov=False), `nesterov`
(nesterov=True, τ = 0), and for compact `rsgdm` with c = m, which takes Nesterov's steps after its
first. In a real program

    buffers = [s["momentum_buffer"].numpy() for s in torch_optimizer.state_dict()["state"].values()]

in the order of the parameters. A buffer has its parameter's layout: if you transpose a weight
(PyTorch's Linear has (out, in), Flax's Dense (in, out)), transpose its buffer as well.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsgdm_optax import MomentumState, ScaleByRsgdmCompactState, nesterov, rsgdm, sgdm


def torch_sgd(p, gradient, steps, *, lr, momentum, dampening=0.0, nesterov=False, weight_decay=0.0):
    """torch.optim.SGD with momentum > 0 in NumPy: parameters and buffer after `steps`."""
    b = None
    for t in range(steps):
        g = gradient(p, t) + weight_decay * p
        b = g.copy() if b is None else momentum * b + (1 - dampening) * g
        p = p - lr * (g + momentum * b if nesterov else b)
    return p, b


def state_from_torch(optimizer, params, buffers, steps, momentum, dampening=0.0):
    """A state that goes on where PyTorch stopped, after `steps` steps; buffers like the params."""
    scale = (1 - momentum) / (1 - dampening)
    m = jax.tree.map(lambda p, b: jnp.asarray(scale * b, p.dtype), params, buffers)
    state = optimizer.init(params)
    if optax.tree.get(state, "MomentumState") is not None:
        return optax.tree.set(state, MomentumState=MomentumState(m))
    # The count keeps the next gradient from being taken for the first.
    part = ScaleByRsgdmCompactState(count=jnp.asarray(steps, jnp.int32), c=m)
    return optax.tree.set(state, ScaleByRsgdmCompactState=part)


def gradient(p, _):
    return np.array([0.5, 1.0, 2.0]) * p


if __name__ == "__main__":
    start = np.array([1.0, -2.0, 3.0])
    for name, here, settings in (
        ("sgdm", sgdm, {}),
        ("sgdm, dampened", sgdm, {"dampening": 0.5}),
        ("nesterov", nesterov, {"nesterov": True}),
        ("rsgdm", lambda *a: rsgdm(*a, compact=True), {"nesterov": True}),
    ):
        torch = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3} | settings
        p, buffer = torch_sgd(start, gradient, 10, **torch)
        dampening = torch.get("dampening", 0.0)
        rate = torch["lr"] * (1 - dampening) / (1 - torch["momentum"])
        optimizer = optax.chain(optax.add_decayed_weights(1e-3), here(rate, torch["momentum"]))
        params = jnp.asarray(p)
        state = state_from_torch(optimizer, params, buffer, 10, torch["momentum"], dampening)
        for t in range(10, 20):
            updates, state = optimizer.update(jnp.asarray(gradient(params, t)), state, params)
            params = optax.apply_updates(params, updates)
        there, _ = torch_sgd(start, gradient, 20, **torch)
        print(f"{name}, distance to PyTorch:", float(np.max(np.abs(np.asarray(params) - there))))
