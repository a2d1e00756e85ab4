"""Makes every rerun of a page cheaper: what is imported once is never looked at again.

Streamlit collects garbage after each run of a page. With some hundred thousand objects of imported
libraries to walk through, that took 109 of a label page's 188 ms (measured); frozen, they are left
out. Knows modules; does not know pages.
"""

import gc
import importlib
import pkgutil

import annotate_app

SCRIPTS = ("annotate_app.app", "annotate_app.app_pages", "annotate_app.server")
"""What Streamlit runs by itself, or what runs us."""


def settle() -> int:
    """Import what pages need and freeze it; how many objects are left out from now on.

    To be called once, before the first page: what is frozen is never freed.
    """
    for found in pkgutil.walk_packages(annotate_app.__path__, "annotate_app."):
        if not found.name.startswith(SCRIPTS):
            importlib.import_module(found.name)
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()
