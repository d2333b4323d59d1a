"""Numbers to trust: every step of a call by name, and where another implementation first differs.

``steps.py`` lists the graph's steps; ``tracing.py`` computes them as a model does and
``trace_file.py`` keeps them; ``case.py`` is what they are of. ``others.py``, ``names.py`` and
``layouts.py`` read what other implementations write; ``walk.py`` compares step by step, by what
``arithmetic.py``, ``rounding.py`` and ``expected.py`` say of rounding, ``causes.py`` of mistakes.
"""

from __future__ import annotations

from .comparison import Comparison, StepComparison
from .torch_steps import record_modules
from .trace_file import Trace
from .tracing import trace
from .walk import compare

__all__ = ["Comparison", "StepComparison", "Trace", "compare", "record_modules", "trace"]
