"""Benchmarks against the peers: see README.md beside this file.

The repository's root holds the sources of pyroberta beside this package, without the compiled
extension. It goes to the end of the path here, so that the pyroberta measured is the installed one.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

sys.path[:] = [p for p in sys.path if Path(os.path.abspath(p)) != ROOT] + [str(ROOT)]
