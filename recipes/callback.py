"""Metrics to TensorBoard, Weights & Biases, MLflow or anything else, by one function.

python recipes/callback.py [FOLDER]

Training calls `log(step, metrics)` and does not know who listens. Metrics leave the device once
in `EVERY` steps, so that the device does not wait for them.
"""

import sys

import jax
import jax.numpy as jnp
import optax

from rsgdm_optax import rsgdm

EVERY = 10


def to_screen(step, metrics):
    print(f"step {step}:", *(f"{name} {value:.4g}" for name, value in metrics.items()))


def to_tensorboard(folder):
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder)

    def log(step, metrics):
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log


def to_wandb(run):  # run = wandb.init(...)
    return lambda step, metrics: run.log(metrics, step=step)


def to_mlflow(mlflow):  # the module, inside of `with mlflow.start_run():`
    return lambda step, metrics: mlflow.log_metrics(metrics, step=step)


def train(log, steps=30):
    optimizer = optax.inject_hyperparams(rsgdm)(learning_rate=0.2)
    params = jnp.array([1.0, -2.0])
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        loss, gradients = jax.value_and_grad(lambda p: jnp.sum(p**2))(params)
        updates, state = optimizer.update(gradients, state, params)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradients),
            "learning_rate": state.hyperparams["learning_rate"],
        }
        return optax.apply_updates(params, updates), state, metrics

    for number in range(1, steps + 1):
        params, state, metrics = step(params, state)
        if number % EVERY == 0:
            log(number, {name: float(value) for name, value in metrics.items()})


if __name__ == "__main__":
    train(to_tensorboard(sys.argv[1]) if sys.argv[1:] else to_screen)
