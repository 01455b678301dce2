"""Checks of arguments, done once, when a transformation is built.

Python and NumPy values are checked. JAX arrays and tracers, as handed over by
`optax.inject_hyperparams`, pass `check_decay` and `check_learning_rate` unseen:
looking at their value would synchronise with the device or fail under `jax.jit`.
`read_decay` and `read_number` are for what needs the value itself.
"""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike, DTypeLike

FIRST_DIFFERENCES = ("zero", "gradient")


def as_real(value: Any) -> float:
    """The value of a Python, NumPy or JAX real number as a float; NaN if it is none."""
    if isinstance(value, np.ndarray | jax.Array) and value.ndim == 0:
        value = np.asarray(value)[()]
    # NumPy registers its own floats as numbers.Real, ml_dtypes' bfloat16 is only a np.generic.
    is_real = isinstance(value, numbers.Real) or (
        isinstance(value, np.generic) and jnp.issubdtype(value.dtype, jnp.floating)
    )
    if isinstance(value, bool | np.bool_) or not is_real:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_decay(decay: ArrayLike) -> ArrayLike:
    """Returns a checked decay as a Python float, which promotes no gradient's dtype."""
    return decay if isinstance(decay, jax.Array) else read_decay(decay)


def read_decay(decay: ArrayLike, name: str = "decay") -> float:
    """As `check_decay`, of a JAX array too."""
    value = as_real(decay)
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be a real number in [0, 1), got {decay!r}.")
    return value


def check_learning_rate(learning_rate: optax.ScalarOrSchedule) -> optax.ScalarOrSchedule:
    """Returns a schedule as it is, a number as a Python float."""
    if callable(learning_rate) or isinstance(learning_rate, jax.Array):
        return learning_rate
    value = as_real(learning_rate)
    if not math.isfinite(value):
        raise ValueError(
            "learning_rate must be a finite real number or a schedule (a function of the step "
            f"count), got {learning_rate!r}."
        )
    return value


def read_number(name: str, value: ArrayLike) -> float:
    """Returns a finite number as a Python float."""
    number = as_real(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite real number, got {value!r}.")
    return number


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises unless `value` is one of the allowed strings."""
    if not (isinstance(value, str) and value in allowed):
        options = " or ".join(repr(option) for option in allowed)
        raise ValueError(f"{name} must be {options}, got {value!r}.")


def check_flag(name: str, value: object) -> None:
    """Raises unless `value` is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}.")


def check_accumulator_dtype(accumulator_dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Returns the dtype as JAX would store it (float64 is float32 unless x64 is enabled)."""
    if accumulator_dtype is None:
        return None
    is_array = isinstance(accumulator_dtype, jax.Array)  # np.dtype would take the array's own
    try:
        dtype = np.dtype(object if is_array else accumulator_dtype)
    except TypeError:
        dtype = np.dtype(object)
    # JAX promotes no floats of 8 bits or fewer.
    if not jnp.issubdtype(dtype, jnp.inexact) or dtype.itemsize < 2:
        raise ValueError(
            "accumulator_dtype must be a floating-point or complex dtype of 16 bits or more, or "
            f"None for the parameters' own, got {accumulator_dtype!r}."
            + " Under optax.inject_hyperparams give a string, or name it in static_args."
            * is_array
        )
    return jax.dtypes.canonicalize_dtype(dtype)
