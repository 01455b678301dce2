"""Settings of the site: `make docs`."""

import inspect

import sphinx.util.logging
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import rsgdm_optax

project = "rsgdm_optax"
author = "The rsgdm_optax developers"
project_copyright = author
version = release = rsgdm_optax.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["figures/**"]
html_theme = "furo"
html_title = "rsgdm_optax"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4  # links to headings, as GitHub makes them
myst_fence_as_directive = ["mermaid"]
mermaid_height = "auto"
mermaid_fullscreen = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature and the section Args say it
default_role = "py:obj"  # one backtick in a docstring
napoleon_attr_annotations = False
napoleon_custom_sections = ["Memory", "Sharding"]
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output are not copied

_log = sphinx.util.logging.getLogger(__name__)


def _check_public_names(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warns of public names without a place on the site; warnings are errors."""
    documented = set(env.domaindata["py"]["objects"])
    for module in (rsgdm_optax, rsgdm_optax.linear, rsgdm_optax.analysis):
        for name in module.__all__:
            public = f"{module.__name__}.{name}"
            if public not in documented and not inspect.ismodule(getattr(module, name)):
                _log.warning("%s is public and not documented", public)


# Pages that stand outside of docs/, and the page that includes each.
_PAGES = {
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../results/PLAN.md": "plan.md",
}


def _redirect(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Links that work on the repository's own pages work on the site as well."""
    for file, target in _PAGES.items():
        source[0] = source[0].replace(f"]({file})", f"]({target})")


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _redirect)
    app.connect("env-check-consistency", _check_public_names)
