"""Variables of the environment that an error of JAX is about."""

import os


def blamed(said: str) -> str:
    """Those of JAX whose name or quoted value is in the text, as NAME=VALUE; "" if none is."""
    given = {name: value for name, value in os.environ.items() if name.startswith("JAX_") and value}
    named = [name for name in given if name.lower() in said.lower()]
    quoted = [name for name, value in given.items() if f"'{value}'" in said or f'"{value}"' in said]
    return ", ".join(f"{name}={given[name]}" for name in named or quoted)
