"""RSGDM, momentum corrected by the gradient's change, for Optax."""

from rsgdm_optax import analysis, convert
from rsgdm_optax._baselines import nesterov, sgdm
from rsgdm_optax._compact import ScaleByRsgdmCompactState, scale_by_rsgdm_compact
from rsgdm_optax._rsadam import ScaleByRsadamState, rsadam, scale_by_rsadam
from rsgdm_optax._rsgdm import ScaleByRsgdmState, rsgdm, scale_by_rsgdm

__version__ = "0.1.0"

__all__ = [
    "ScaleByRsadamState",
    "ScaleByRsgdmCompactState",
    "ScaleByRsgdmState",
    "analysis",
    "convert",
    "nesterov",
    "rsadam",
    "rsgdm",
    "scale_by_rsadam",
    "scale_by_rsgdm",
    "scale_by_rsgdm_compact",
    "sgdm",
]
