"""Arms: the optimizers of a study, built in or anybody's, each behind the same weight decay.

To add a built-in optimizer, add it to `OPTIMIZERS`; to try another, name it on the command line:
lion=optax:lion(b1=0.95).
"""

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rsgdm_optax
from train.common.errors import InputError, first_line

# Each takes a schedule and a decay. The first group averages the gradient, so that its learning
# rate has two conventions.
_AVERAGING: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgdm": rsgdm_optax.sgdm,
    "rsgdm": rsgdm_optax.rsgdm,
    "rsgdm_compact": functools.partial(rsgdm_optax.rsgdm, compact=True),
    "nesterov": rsgdm_optax.nesterov,
}

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    **_AVERAGING,
    "sgd": lambda learning_rate, _decay: optax.sgd(learning_rate),
    "adam": lambda learning_rate, decay: optax.adam(learning_rate, b1=decay),
    "nadam": lambda learning_rate, decay: optax.nadam(learning_rate, b1=decay),
    "adan": lambda learning_rate, decay: optax.adan(learning_rate, b1=decay),
    "rsadam": lambda learning_rate, decay: rsgdm_optax.rsadam(learning_rate, b1=decay),
}

_NAME = re.compile(r"[A-Za-z]\w*")
_FORM = "NAME=module:function or NAME=module:function(key=value, ...), values as Python literals"


@dataclasses.dataclass(frozen=True)
class Arm:
    """An optimizer under its name in a study."""

    name: str
    optimizer: str  # a built-in name, or module:function(key=value, …)
    version: str | None = None  # of the package that the function comes from

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """The arm that a word of the command line names.

        Raises:
          InputError: if it is no built-in name and not of the form NAME=module:function(…), or
          its module or function is not there.
        """
        name, equals, optimizer = text.partition("=")
        if not equals:
            if name not in OPTIMIZERS:
                raise InputError(
                    f"optimizers: {name!r} is unknown; allowed: {', '.join(OPTIMIZERS)}, or {_FORM}"
                )
            return cls(name, name)
        if not _NAME.fullmatch(name) or name in OPTIMIZERS:
            why = "is a built-in optimizer" if name in OPTIMIZERS else "is no name"
            raise InputError(f"optimizers: {text!r}: {name!r} {why}; allowed is {_FORM}")
        call = _Call.parse(optimizer, text)
        call.function()
        return cls(name, str(call), call.version())

    def ema_rate(self, learning_rate: float, convention: str, decay: float) -> float:
        """The rate as the optimizer here takes it: α of the EMA form.

        Heavy-ball momentum has no factor 1−β on the gradient, so its rate is α·(1−β).
        Optimizers that do not average the gradient have one convention only, and so has one that
        is not built in.
        """
        if convention == "heavy_ball" and self.optimizer in _AVERAGING:
            return learning_rate / (1 - decay)
        return learning_rate

    def make(
        self, schedule: optax.Schedule, *, decay: float, weight_decay: float
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer behind weight decay, which joins the gradient as in PyTorch.

        One that is not built in has the decay of its own arguments, and its own weight decay
        alone if they name `weight_decay`.

        Raises:
          InputError: if the function fails, or makes no optimizer.
        """
        if self.optimizer in OPTIMIZERS:
            inner = OPTIMIZERS[self.optimizer](schedule, decay)
            return optax.chain(optax.add_decayed_weights(weight_decay), inner)
        call = _Call.parse(self.optimizer, self.optimizer)
        try:
            inner = call.function()(learning_rate=schedule, **call.arguments)
        except SystemExit as end:
            raise InputError(f"optimizers: {self._shown} exits, with {end.code!r}") from None
        except Exception as error:  # whatever a function of the user's raises
            raise InputError(f"optimizers: {self._shown}: {first_line(error)}") from error
        if not isinstance(inner, optax.GradientTransformation):
            raise InputError(
                f"optimizers: {self._shown} makes {type(inner).__name__}; an optimizer is an "
                "optax.GradientTransformation"
            )
        if "weight_decay" in call.arguments:
            return optax.with_extra_args_support(inner)
        return optax.chain(optax.add_decayed_weights(weight_decay), inner)

    def check(self, params: Any) -> None:
        """Raises `InputError` unless the optimizer takes a step on parameters of these shapes.

        Its state must be arrays, which the step does not reshape: one program makes all steps.
        """

        def one_step(params: Any) -> Any:
            optimizer = self.make(lambda count: 0.1 + 0.0 * count, decay=0.9, weight_decay=0.0)
            before = optimizer.init(params)
            updates, after = optimizer.update(params, before, params)
            for leaf in jax.tree.leaves(after):
                if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
                    raise TypeError(f"the state holds {type(leaf).__name__}, which is no array")
            return optax.apply_updates(params, updates), before, after

        try:
            _, *states = jax.eval_shape(one_step, params)
            before, after = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), s) for s in states)
            if jax.tree.flatten(before) != jax.tree.flatten(after):
                raise TypeError("the state has another form after the step")
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"optimizers: {self._shown} takes no step on this model: {first_line(error)}"
            ) from error

    @property
    def _shown(self) -> str:
        return self.name if self.name == self.optimizer else f"{self.name}={self.optimizer}"


@dataclasses.dataclass(frozen=True)
class _Call:
    """A function's place and its arguments."""

    module: str
    name: str
    keywords: dict[str, ast.expr]

    @classmethod
    def parse(cls, text: str, shown: str) -> "_Call":
        """What module:function(key=value, …) says; `shown` is the whole, for messages."""
        module, colon, rest = text.partition(":")
        error = InputError(f"optimizers: {shown!r} is not of the form {_FORM}")
        try:
            tree = ast.parse(rest.strip(), mode="eval").body
            call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
            names = [keyword.arg for keyword in call.keywords]
            found = cls(module, "", {str(each.arg): each.value for each in call.keywords})
            arguments = found.arguments
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            raise error from None
        is_named = all(map(str.isidentifier, module.split(".")))
        if not (colon and is_named and isinstance(call.func, ast.Name)):
            raise error
        if call.args or None in names or len(arguments) < len(names):
            raise error
        if "learning_rate" in arguments:
            raise InputError(
                f"optimizers: {shown!r}: learning_rate is the study's; give it by --learning-rate"
            )
        return dataclasses.replace(found, name=call.func.id)

    @property
    def arguments(self) -> dict[str, Any]:
        """The values by name."""
        return {name: ast.literal_eval(value) for name, value in self.keywords.items()}

    def __str__(self) -> str:
        """The same call, in one spelling: arguments by name, each in Python's own spelling."""
        # Not the value's repr: that of a set has another order in another process.
        given = ", ".join(
            f"{name}={ast.unparse(value)}" for name, value in sorted(self.keywords.items())
        )
        return f"{self.module}:{self.name}" + (f"({given})" if given else "")

    def function(self) -> Callable[..., Any]:
        """The function itself; its module may lie in the current folder."""
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        try:
            found = getattr(importlib.import_module(self.module), self.name)
        except SystemExit as end:
            raise InputError(
                f"optimizers: {self.module} exits as it is imported, with {end.code!r}; a script's "
                'own work belongs behind `if __name__ == "__main__":`'
            ) from None
        except Exception as error:  # whatever a module of the user's raises
            raise InputError(
                f"optimizers: {self.module}:{self.name} cannot be imported: {first_line(error)}"
            ) from None
        if not callable(found):
            raise InputError(f"optimizers: {self.module}:{self.name} is no function")
        function: Callable[..., Any] = found
        return function

    def version(self) -> str | None:
        """Of the package, as its distribution or itself has it."""
        package = self.module.partition(".")[0]
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = getattr(sys.modules.get(package), "__version__", None)
            return None if version is None else str(version)


def known_faults(names: Sequence[str]) -> list[str]:
    """One line for each of the named optimizers that the installed optax computes wrongly."""
    if "adan" not in names or not _adan_is_faulty():
        return []
    return [
        f"adan: optax {optax.__version__} weighs the gradient's difference with 1-b2 = 0.08, where "
        "the algorithm has b2 = 0.92; the figures are not Adan's"
    ]


def _adan_is_faulty() -> bool:
    # With b1 = b2 = b3 = 0 Adan is g/|g|; the fault makes it (g + Δg)/|g + Δg|.
    adan = optax.scale_by_adan(b1=0.0, b2=0.0, b3=0.0)
    _, state = adan.update(jnp.float32(3), adan.init(jnp.float32(0)))
    update, _ = adan.update(jnp.float32(1), state)
    return bool(update < 0)
