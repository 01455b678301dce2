"""What docs/theory.md and docs/linear-momentum.md say beyond the optimizers themselves."""

import re
from math import ceil
from pathlib import Path
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rsgdm_optax

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("theory.md", "linear-momentum.md")
}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _seeds(std: float, difference: float) -> float:
    z = NormalDist().inv_cdf
    return 2 * (z(0.975) + z(0.80)) ** 2 * (std / difference) ** 2


def test_seeds_for_80_percent_power():
    assert _seeds(1, 1) == pytest.approx(15.7, abs=0.01)
    written = re.findall(
        r"δ = ([\d.]+) .*?σ = ([\d.]+) to ([\d.]+) .*?for (\d+) (?:to|or) (\d+)",
        " ".join(PAGES["theory.md"].split()),
    )
    assert len(written) == 2
    for difference, low, high, *seeds in written:
        needed = [ceil(_seeds(float(std), float(difference))) for std in (low, high)]
        assert needed == [int(number) for number in seeds]


@pytest.mark.parametrize("page", PAGES)
def test_every_section_names_tests_that_exist(page):
    sections = PAGES[page].split("\n## ")[1:]
    for section in sections:
        held = section.partition("\nTested by ")[2]
        names = re.findall(r"`(test_\w+(?:\.py)?)`", held)
        # The last section of the family's page is on the literature.
        assert len(names) >= 2 or section.startswith("7. What is known"), section
        for name in names:
            if name.endswith(".py"):
                source = (Path(__file__).parent / name).read_text(encoding="utf-8")
            else:
                assert f"def {name}(" in source, name


@pytest.mark.parametrize(("page", "count"), [("theory.md", 5), ("linear-momentum.md", 1)])
def test_every_figure_exists(page, count):
    figures = re.findall(r"\]\((figures/\w+\.svg)\)", PAGES[page])
    assert len(figures) == count
    for figure in figures:
        assert (ROOT / "docs" / figure).read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_have_targets(page):
    for link in re.findall(r"\]\(([^)]+\.md[^)]*)\)", PAGES[page]):
        file, _, anchor = link.partition("#")
        text = (ROOT / "docs" / file).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
        assert not anchor or anchor in anchors, link


def _updates(transformation, gradients):
    params = jnp.zeros(gradients.shape[1:])
    state = transformation.init(params)
    step = jax.jit(transformation.update)
    updates = []
    for g in gradients:
        update, state = step(jnp.asarray(g), state, params)
        updates.append(update)
    return np.stack(updates)


def test_documents_write_rsgdm_in_optaxs_parts(x64):
    # README, the theory and the docstrings, each as it stands with numbers for β and α.
    texts = {
        "README.md": README,
        "theory.md": PAGES["theory.md"],
        "rsgdm": rsgdm_optax.rsgdm.__doc__,
        "scale_by_rsgdm": rsgdm_optax.scale_by_rsgdm.__doc__,
    }
    gradients = np.random.default_rng(0).standard_normal((40, 3))
    written_as = re.compile(
        r"optax\.chain\(optax\.scale_by_optimistic_gradient\(1\.0, β\), "
        r"optax\.ema\(β, debias=False\)(?:, optax\.scale_by_learning_rate\(α\))?\)"
    )
    for name, text in texts.items():
        # In the first lines: before the first section or formula.
        head = re.split(r"\n## |\$\$|\.\. math::", text)[0]
        (written,) = written_as.findall(" ".join(head.split()))
        has_rate = "scale_by_learning_rate" in written
        parts = eval(written.replace("β", "0.9").replace("α", "0.5"), {"optax": optax})  # noqa: S307
        ours = rsgdm_optax.rsgdm(0.5, 0.9) if has_rate else rsgdm_optax.scale_by_rsgdm(0.9)
        np.testing.assert_allclose(
            _updates(parts, gradients), _updates(ours, gradients), rtol=0, atol=1e-14, err_msg=name
        )


def test_the_correction_before_other_optimizers(x64):
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["linear-momentum.md"], re.S)
    lines = [line for line in block.splitlines() if line.startswith("optax.")]
    bases = {
        "adam": optax.adam(1e-3),
        "lion": optax.lion(1e-4),
        "muon": optax.contrib.muon(2e-2),
    }
    assert len(lines) == len(bases)
    gradients = np.random.default_rng(0).standard_normal((12, 3, 2))
    corrected = gradients + 0.9 * np.diff(gradients, axis=0, prepend=gradients[:1])
    for line, (name, base) in zip(lines, bases.items(), strict=True):
        chained = _updates(eval(line, {"optax": optax}), gradients)  # noqa: S307
        np.testing.assert_allclose(
            chained, _updates(base, corrected), rtol=1e-9, atol=1e-12, err_msg=name
        )
