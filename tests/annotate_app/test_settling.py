"""The server freezes what it imports before the first page."""

import subprocess
import sys

LOOK = """
import gc, sys
from annotate_app.settling import settle
frozen = settle()
assert "pandas" in sys.modules and "annotate_app.charts" in sys.modules
assert not {"torch", "tinker", "transformers"} & set(sys.modules)
print(frozen, len(gc.get_objects()))
"""


def test_a_collection_after_a_page_run_walks_over_little_of_what_was_imported():
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frozen, looked_at = map(int, done.stdout.split())
    assert frozen > 20 * looked_at
