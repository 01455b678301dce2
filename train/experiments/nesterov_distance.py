r"""How far the parameters of other optimizers stray from Nesterov's, seed by seed.

python train/experiments/nesterov_distance.py --preset demo --seeds 5 --output runs/straying

All trainings of a seed share initial weights, batches, augmentation and learning rate. On one and
the same gradient sequence rsgdm's parameters would stray by α·β·g₁ at most (docs/theory.md,
section 1): the bound. But from the second step on each sees the gradients of its own parameters,
and training enlarges small differences. What it makes of any difference is shown by the others:

twin            Nesterov from a start that is moved by 10⁻⁷ of its length in a random direction
pushed          Nesterov from a start that is moved by as much as the bound, in a random direction
rsgdm_gradient  RSGDM with first_difference="gradient": Nesterov, but for rounding
sgdm            another optimizer, for scale
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from train.common.entrypoint import start

    start(__file__)

from collections.abc import Callable
from typing import Any

import jax
import optax

import rsgdm_optax
from train.engine.optimizers import Arm
from train.engine.recipe import Recipe
from train.engine.steps import TrainState
from train.experiments.measurement import Subject, measure_all, options, significant
from train.runs.measurements import NESTEROV_DISTANCE, Numbers

REFERENCE = "nesterov"
PERTURBATION = 1e-7
FIRST_STEPS = 50  # each of these is looked at, then the ends of epochs


def straying(subject: Subject) -> Callable[[int], Numbers]:
    """Distances ‖θ − θ_nesterov‖ / ‖θ_nesterov‖ along one training after the other."""
    run, trainer = subject.run, subject.trainer
    recipe = Recipe(run, subject.dataset)
    schedule = recipe.schedule

    def named(name: str) -> optax.GradientTransformation:
        arm = Arm(name, name)
        return arm.make(schedule, decay=run.decay, weight_decay=run.weight_decay)

    as_nesterov = optax.chain(
        optax.add_decayed_weights(run.weight_decay),
        rsgdm_optax.rsgdm(schedule, run.decay, first_difference="gradient"),
    )
    optimizers = {
        "rsgdm": named("rsgdm"),
        "twin": named(REFERENCE),
        "pushed": named(REFERENCE),
        "rsgdm_gradient": as_nesterov,
        "sgdm": named("sgdm"),
    }
    step_of = {name: trainer.single_step(run, named(name)) for name in ("rsgdm", REFERENCE, "sgdm")}
    step_of |= {"rsgdm_gradient": trainer.single_step(run, as_nesterov)}
    step_of |= dict.fromkeys(("twin", "pushed"), step_of[REFERENCE])

    def measure(seed: int) -> Numbers:
        keys, seeded = trainer.keys(seed), subject.seeded(seed)
        reference = trainer.start(seeded, named(REFERENCE))
        others = {name: trainer.start(seeded, optimizer) for name, optimizer in optimizers.items()}
        after_one = step_of["rsgdm"](others["rsgdm"], keys)
        first_gradient = _norm(optax.tree.get(after_one.opt_state, "previous_gradient"))
        start = _norm(reference.params)
        bound = schedule(0) * run.decay * first_gradient
        directions = jax.random.split(jax.random.fold_in(keys.parameters, 1))
        others["twin"] = _moved(others["twin"], PERTURBATION * start, directions[0])
        others["pushed"] = _moved(others["pushed"], bound, directions[1])

        looked_at: list[int] = []
        norms: list[float] = []
        distances: dict[str, list[float]] = {name: [] for name in others}
        for step in range(recipe.steps + 1):
            if step:
                reference = step_of[REFERENCE](reference, keys)
                others = {name: step_of[name](state, keys) for name, state in others.items()}
            if step <= FIRST_STEPS or step % recipe.steps_per_epoch == 0:
                looked_at.append(step)
                norms.append(significant(_norm(reference.params)))
                for name, state in others.items():
                    distances[name].append(significant(_distance(state.params, reference.params)))
        ends = {REFERENCE: reference, **others}
        return {
            "learning_rate": recipe.alpha,
            "steps_per_epoch": recipe.steps_per_epoch,
            "start_norm": significant(start),
            "first_gradient_norm": significant(first_gradient),
            "bound": significant(bound),
            "step": looked_at,
            "nesterov_norm": norms,
            "distance": distances,
            f"{subject.dataset.evaluation_name}_accuracy": {
                name: trainer.evaluate(run, state, "evaluation").accuracy
                for name, state in ends.items()
            },
        }

    return measure


@jax.jit
def _norm(tree: Any) -> jax.Array:
    norm: jax.Array = optax.tree.norm(tree)
    return norm


@jax.jit
def _distance(params: Any, reference: Any) -> jax.Array:
    ratio: jax.Array = _norm(optax.tree.sub(params, reference)) / _norm(reference)
    return ratio


def _moved(state: TrainState, distance: jax.Array, key: jax.Array) -> TrainState:
    direction = optax.tree.random_like(key, state.params)
    scale = distance / optax.tree.norm(direction)
    params = jax.tree.map(lambda p, d: (p + scale * d).astype(p.dtype), state.params, direction)
    return state._replace(params=params)


def main() -> int:
    """Measures what the options say; returns the exit status."""
    config = options(
        "nesterov_distance.py",
        "Measure how far the parameters of rsgdm and others stray from Nesterov's.",
        not_here=("--optimizers",),
    )
    measure_all(NESTEROV_DISTANCE, config.replace(optimizers=(REFERENCE,)), straying)
    return 0
