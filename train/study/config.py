"""One study's settings: `Config(run, study, execution)`; train/study/validation.py checks them.

run         what all its runs share: the study's identity
study       which runs it has, and what is asked of them: more can be added later
execution   how they are executed: recorded, and free to change
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from train.common import rules
from train.common.errors import InputError
from train.common.rules import Rule
from train.engine.optimizers import Arm
from train.runs.settings import RunConfig, RunSettings, setting

Rates = Mapping[
    str, tuple[float, ...]
]  # by arm; under "" those of arms that have none of their own

_NAMES = Rule(
    "a tuple of names",
    lambda value: (
        isinstance(value, tuple) and value != () and all(isinstance(v, str) for v in value)
    ),
)
_COMPARISONS = Rule(
    "a tuple of texts A:B",
    lambda value: isinstance(value, tuple) and all(isinstance(v, str) for v in value),
)
_RATES = Rule(
    "rates by arm, {name: (rate, …)}",
    lambda value: isinstance(value, Mapping) and all(isinstance(v, tuple) for v in value.values()),
)
_SEEDS = Rule(
    "A:B with 0 <= A < B <= 2^31",
    lambda value: (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
        and 0 <= value[0] < value[1] <= 2**31
    ),
    lambda text: _read_seeds(text),
    show=lambda value: ":".join(map(str, value)) if isinstance(value, tuple) else repr(value),
)
_COUNT = rules.whole(1)
_WORKERS = Rule(
    f"auto, none, or {_COUNT.words}",
    lambda value: value == "auto" or _COUNT.allows(value),
    lambda text: {"none": None, "auto": text}[text] if text in ("none", "auto") else int(text),
)
_PATH = Rule("a folder's name", lambda value: isinstance(value, str) and "\0" not in value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Every arm × every rate × every seed, each an independent run."""

    optimizers: tuple[str, ...] = setting(
        _NAMES,
        "arms: {names}, or NAME=module:function(key=value, ...), as lion=optax:lion(b1=0.95)",
        "ARM",
    )
    seeds: tuple[int, int] = setting(_SEEDS, "N for seeds 0 to N-1, or A:B for A to B-1", "SEEDS")
    learning_rate: Rates = setting(
        _RATES, "one rate or several for every arm, or ARM=RATE,RATE,... for single ones", "RATE"
    )
    rates_from: str | None = setting(
        rules.or_none(_PATH),
        "take each arm's best rate from this study of validation examples: its folder, or packed",
        "STUDY",
        default=None,
    )
    baseline: str | None = setting(
        rules.or_none(rules.text()),
        "the report compares every other arm with this one (default: sgdm, or else the first)",
        "ARM",
        default=None,
    )
    compare: tuple[str, ...] = setting(
        _COMPARISONS,
        "the comparisons that count: A against B; the more, the more seeds are needed",
        "A:B",
        default=(),
    )

    @property
    def arms(self) -> list[Arm]:
        """The arms, in their order; `InputError` if one is not there or a name is doubled."""
        arms = [Arm.parse(text) for text in self.optimizers]
        names = [arm.name for arm in arms]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"optimizers: {name} is given twice")
        return arms

    def rates(self, arm: str) -> tuple[float, ...]:
        """The rates as given for one arm."""
        rates = self.learning_rate.get(arm) or self.learning_rate.get("")
        if not rates:
            given = ", ".join(self.learning_rate)
            raise InputError(
                f"learning_rate: none given for {arm}, only for {given}; "
                f"add {arm}=RATE, or give one rate for all"
            )
        return rates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """How a study is executed, and where its files are."""

    data_dir: str | None = setting(
        rules.or_none(_PATH),
        "folder that holds the data set's official files, packed or unpacked (default: download)",
        "DIR",
        default=None,
    )
    unverified_archive: bool = setting(
        rules.truth(), "take an archive whose checksum is not the official one", default=False
    )
    parallel: str = setting(
        rules.one_of("jit", "pmap"),
        "jit or pmap: how a step is divided among the devices",
        "NAME",
        default="jit",
    )
    workers: int | str | None = setting(
        rules.or_none(_WORKERS),
        "train so many runs at once, each in a process with its share of the cores, or one GPU; "
        "auto: one a GPU or a core; none: in this process",
        "N",
        default=None,
    )
    cluster: str | None = setting(
        rules.or_none(rules.text()),
        "train on the workers of this Dask scheduler, which share the study's folder",
        "ADDRESS",
        default=None,
    )
    distributed: bool = setting(
        rules.truth(),
        "this is one of several processes; SLURM, Open MPI or a TPU says which",
        default=False,
    )
    coordinator: str | None = setting(
        rules.or_none(rules.text()),
        "the first process's address, where nothing else says it; with the next two",
        "HOST:PORT",
        default=None,
    )
    num_processes: int | None = setting(
        rules.or_none(rules.whole(1)), "how many processes there are", "N", default=None
    )
    process_id: int | None = setting(
        rules.or_none(rules.whole(0)), "which of them this one is, from 0", "K", default=None
    )
    checkpoint_every: int = setting(
        rules.whole(1), "epochs from one checkpoint to the next", "N", default=1
    )
    tensorboard: bool = setting(
        rules.truth(), "write event files beside the metrics", default=False
    )
    output: str = setting(_PATH, "folder of the study (default: runs/PRESET)", "DIR")

    @property
    def is_distributed(self) -> bool:
        """Whether several processes train each run together."""
        return self.distributed or self.coordinator is not None

    @property
    def has_workers(self) -> bool:
        """Whether runs are trained by other processes than this one."""
        return self.workers is not None or self.cluster is not None


@dataclasses.dataclass(frozen=True)
class Config:
    """One study."""

    run: RunSettings
    study: StudySettings
    execution: Execution

    @classmethod
    def of(cls, **settings: Any) -> "Config":
        """From the settings by name, whichever part they belong to."""
        _check_known(settings)
        return cls(
            RunSettings(**_part(RunSettings, settings)),
            StudySettings(**_part(StudySettings, settings)),
            Execution(**_part(Execution, settings)),
        )

    def replace(self, **changes: Any) -> "Config":
        """With other values of some settings, whichever part they belong to."""
        _check_known(changes)
        return Config(
            dataclasses.replace(self.run, **_part(RunSettings, changes)),
            dataclasses.replace(self.study, **_part(StudySettings, changes)),
            dataclasses.replace(self.execution, **_part(Execution, changes)),
        )

    def runs(self, data: str) -> list[RunConfig]:
        """The runs of a checked study, seed by seed, so that pairs are complete early.

        Args:
          data: the fingerprint of its data set.
        """
        return [
            RunConfig(
                **vars(self.run),
                data=data,
                arm=arm.name,
                optimizer=arm.optimizer,
                version=arm.version,
                seed=seed,
                learning_rate=rate,
            )
            for seed in range(*self.study.seeds)
            for arm in self.study.arms
            for rate in self.study.rates(arm.name)
        ]


# Every setting: the options of the command line.
FIELDS = [
    field for part in (RunSettings, StudySettings, Execution) for field in dataclasses.fields(part)
]


def _check_known(settings: Mapping[str, Any]) -> None:
    if unknown := settings.keys() - {field.name for field in FIELDS}:
        raise TypeError(f"no settings of a study: {', '.join(sorted(unknown))}")


def _part(part: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(part)]
    return {name: _readable(name, settings[name]) for name in names if name in settings}


def _readable(name: str, value: Any) -> Any:
    """A value as the settings hold it: rates by arm, lists as tuples, ~ as the home folder."""
    if name == "learning_rate":
        return _rates(value)
    if name in ("dataset", "data_dir", "output", "rates_from") and isinstance(value, str):
        # The shell leaves the ~ of --output=~/study and of npz:~/file to the program.
        file = "npz:" if value.startswith("npz:") else ""
        return file + os.path.expanduser(value.removeprefix(file))  # noqa: PTH111  # text remains
    return tuple(value) if isinstance(value, list) else value


def _rates(value: Any) -> Any:
    """One rate, several, or either by arm, as rates by arm."""
    if isinstance(value, Mapping):
        return {arm: _several(rates) for arm, rates in value.items()}
    return {"": _several(value)}


def _several(rates: Any) -> tuple[Any, ...]:
    return tuple(rates) if isinstance(rates, Iterable) and not isinstance(rates, str) else (rates,)


def _read_seeds(text: str) -> tuple[int, int]:
    first, colon, end = text.partition(":")
    return (int(first), int(end)) if colon else (0, int(first))
