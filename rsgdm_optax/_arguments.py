"""Checks of arguments, done once, when a transformation is built.

Python and NumPy values are checked. Of JAX arrays and tracers, as handed over by
`optax.inject_hyperparams`, the `check_*` functions see the shape and the dtype only:
looking at their value would synchronise with the device or fail under `jax.jit`.
`read_decay` and `read_number` are for what needs the value itself.
"""

import math
import numbers
from typing import Any, Literal, TypeGuard, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike, DTypeLike

from rsgdm_optax._leaves import AVERAGED

FirstDifference = Literal["zero", "gradient"]
FIRST_DIFFERENCES: tuple[str, ...] = get_args(FirstDifference)


# What a checked decay or weight is: a Python number promotes no gradient's dtype.
Number = float | jax.Array


def shown(value: object) -> str:
    """A value in a message: in one line, however large an array it is."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def unfit(name: str, allowed: str, value: object) -> ValueError:
    """The error that an argument has none of the allowed values, with a remedy if there is one."""
    remedy = ""
    if callable(value):
        remedy = " For an optimizer, optax.inject_hyperparams takes a schedule of it."
    elif is_jax_scalar(value) and isinstance(value, jax.core.Tracer):
        remedy = " A traced value is not known: call this outside of jax.jit and jax.grad."
    return ValueError(f"{name} must be {allowed}, got {shown(value)}.{remedy}")


def at_least_float32(number: Number) -> Number:
    """A JAX array in the precision that it is reckoned with; a Python number as it is."""
    if not isinstance(number, jax.Array):
        return number
    with jax.numpy_dtype_promotion("standard"):  # the choice of a dtype is no promotion
        return number.astype(jnp.promote_types(number.dtype, jnp.float32))


def is_real(dtype: DTypeLike) -> bool:
    """Whether numbers of this dtype are real; bool is none of them."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))


def is_jax_scalar(value: Any) -> TypeGuard[jax.Array]:
    """Whether it is a JAX array, maybe traced, that can hold a real number."""
    return isinstance(value, jax.Array) and value.shape == () and is_real(value.dtype)


def as_real(value: Any) -> float:
    """The value of a Python, NumPy or JAX real number as a float; NaN if it is none or traced."""
    is_known = is_jax_scalar(value) and not isinstance(value, jax.core.Tracer)
    if is_known or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = np.asarray(value)[()]
    # NumPy registers its own floats as numbers.Real, ml_dtypes' bfloat16 is only a np.generic.
    is_number = isinstance(value, numbers.Real) or (
        isinstance(value, np.generic) and jnp.issubdtype(value.dtype, jnp.floating)
    )
    if isinstance(value, bool | np.bool_) or not is_number:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def as_array(name: str, values: Any) -> np.ndarray[Any, Any]:
    """The values as a NumPy array, whatever its dtype; raises if they have none."""
    try:
        return np.asarray(values)
    except TypeError:
        raise unfit(name, "an array whose values are known", values) from None
    except ValueError:
        raise unfit(name, "an array, its rows of one length", values) from None


def read_reals(name: str, values: Any, what: str = "real numbers") -> np.ndarray[Any, Any]:
    """The values as float64; raises if they are no real numbers, or not known."""
    array = as_array(name, values)
    if not is_real(array.dtype):
        raise ValueError(f"{name} must be {what}, got {shown(values)}.")
    return array.astype(np.float64)


def check_decay(decay: ArrayLike, name: str = "decay") -> Number:
    """Returns a decay as a Python float, or the JAX array that it is."""
    return decay if is_jax_scalar(decay) else read_decay(decay, name)


def read_decay(decay: ArrayLike, name: str = "decay") -> float:
    """As `check_decay`, of a JAX array too."""
    value = as_real(decay)
    if not 0.0 <= value < 1.0:
        raise unfit(name, "a real number in [0, 1)", decay)
    return value


def check_correction(
    correction: ArrayLike | None, decay: Number, decay_name: str = "decay"
) -> Number | None:
    """Returns the weight c of z as a Python float, the JAX array that it is, or None.

    In [0, β/(1−β)] it lies between SGDM and SGD. What is above by no more than float32's rounding
    of β makes of the upper end is the upper end.
    """
    if correction is None or is_jax_scalar(correction):
        return correction
    value = as_real(correction)
    if isinstance(decay, float):
        end = decay / (1 - decay)
        rounding = float(np.finfo(np.float32).eps) / (1 - decay)
        allowed = f"[0, {decay_name}/(1-{decay_name})] = [0, {end:.6g}]"
    else:
        end, rounding = math.inf, 0.0
        allowed = "[0, inf)"
    if not (math.isfinite(value) and 0 <= value <= end * (1 + rounding)):
        raise unfit("correction", f"None or a real number in {allowed}", correction)
    return min(value, end)


def check_learning_rate(
    learning_rate: optax.ScalarOrSchedule, name: str = "learning_rate"
) -> optax.ScalarOrSchedule:
    """Returns a schedule as it is, a number as a Python float."""
    if callable(learning_rate) or is_jax_scalar(learning_rate):
        return learning_rate
    value = as_real(learning_rate)
    if not math.isfinite(value):
        raise ValueError(
            f"{name} must be a finite real number or a schedule (a function of the step "
            f"count), got {shown(learning_rate)}."
        )
    return value


def check_epsilon(name: str, value: ArrayLike) -> Number:
    """Returns a number of 0 or more as a Python float, or the JAX array that it is."""
    if is_jax_scalar(value):
        return value
    number = as_real(value)
    if not (math.isfinite(number) and number >= 0):
        raise unfit(name, "a finite real number of 0 or more", value)
    return number


def check_number(name: str, value: ArrayLike) -> Number:
    """Returns a finite number as a Python float, or the JAX array that it is."""
    return value if is_jax_scalar(value) else read_number(name, value)


def read_number(name: str, value: object) -> float:
    """As `check_number`, of a JAX array too."""
    number = as_real(value)
    if not math.isfinite(number):
        raise unfit(name, "a finite real number", value)
    return number


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises unless `value` is one of the allowed strings."""
    if not (isinstance(value, str) and value in allowed):
        options = " or ".join(repr(option) for option in allowed)
        raise ValueError(f"{name} must be {options}, got {shown(value)}.")


def check_flag(name: str, value: object) -> None:
    """Raises unless `value` is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")


def check_accumulator_dtype(accumulator_dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Returns the dtype as JAX would store it (float64 is float32 unless x64 is enabled)."""
    if accumulator_dtype is None:
        return None
    is_array = isinstance(accumulator_dtype, jax.Array)  # np.dtype would take the array's own
    try:
        dtype = np.dtype(object if is_array else accumulator_dtype)
    except (TypeError, ValueError):
        dtype = np.dtype(object)
    if dtype not in AVERAGED:
        raise ValueError(
            "accumulator_dtype must be a floating-point or complex dtype of 16 bits or more, or "
            f"None for the parameters' own, got {shown(accumulator_dtype)}."
            + " Under optax.inject_hyperparams give a string, or name it in static_args."
            * is_array
        )
    return jax.dtypes.canonicalize_dtype(dtype)
