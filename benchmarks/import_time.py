"""The time to import the library, against that of Optax, which it imports.

python benchmarks/import_time.py [--quick]

Each import is in a process of its own; the interpreter's start counts for both. With and without
Python's garbage collector: a full pass of its that comes due after `import optax` falls to
whatever is imported next.
"""

import functools
import os
import subprocess
import sys

from benchmarks.timing import Spread, interleaved, parse, report, timed

COLLECTOR = {"on": "", "off": "import gc; gc.disable(); "}


def run(program: str) -> None:
    """Runs a program in a process of its own."""
    # With its bytecode kept, as that of an installed package is.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def main() -> None:
    """Times both imports in turn."""
    options = parse("import_time.py", "Time `import rsgdm_optax` against `import optax`.")
    rows = []
    for state, before in COLLECTOR.items():
        measures = {
            name: timed(functools.partial(run, f"{before}import {name}"))
            for name in ("optax", "rsgdm_optax")
        }
        seconds = interleaved(measures, 2 if options.quick else 25)
        rows += [
            {
                "import": name,
                "garbage collector": state,
                "s": Spread.of(values),
                "ratio": Spread.of(values / seconds["optax"]),
            }
            for name, values in seconds.items()
        ]
    report(options, rows)


if __name__ == "__main__":
    main()
