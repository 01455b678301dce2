"""RSGDM, momentum corrected by the gradient's change, for Optax."""

import typing as _typing

from rsgdm_optax._baselines import nesterov, sgdm
from rsgdm_optax._compact import ScaleByRsgdmCompactState, scale_by_rsgdm_compact
from rsgdm_optax._one_buffer import MomentumState
from rsgdm_optax._rsadam import ScaleByRsadamState, rsadam, scale_by_rsadam
from rsgdm_optax._rsgdm import ScaleByRsgdmState, rsgdm, scale_by_rsgdm

__version__ = "0.1.0"

__all__ = [
    "MomentumState",
    "ScaleByRsadamState",
    "ScaleByRsgdmCompactState",
    "ScaleByRsgdmState",
    "analysis",
    "linear",
    "nesterov",
    "rsadam",
    "rsgdm",
    "scale_by_rsadam",
    "scale_by_rsgdm",
    "scale_by_rsgdm_compact",
    "sgdm",
]

if _typing.TYPE_CHECKING:
    from rsgdm_optax import analysis, linear
else:

    def __getattr__(name):
        # Imported when used: training needs neither.
        if name in ("analysis", "linear"):
            import importlib

            return importlib.import_module(f"rsgdm_optax.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
