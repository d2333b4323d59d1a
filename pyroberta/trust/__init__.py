"""Numbers to trust: every step of a call by name, and where another implementation first differs.

``steps.py`` lists the graph's steps; ``tracing.py`` computes them as a model does and
``trace_file.py`` keeps them; ``case.py`` is what they are of. ``others.py``, ``names.py`` and
``layouts.py`` read what other implementations write; ``walk.py`` compares step by step, by what
``arithmetic.py``, ``rounding.py`` and ``expected.py`` say of rounding, ``causes.py`` of mistakes.
``digits.py`` turns the same on ourselves; ``vectors.py`` and ``golden.py`` are for those who port.
"""

from __future__ import annotations

from .check_vectors import VectorReport, check_vectors
from .comparison import Comparison, StepComparison
from .digits import DigitsReport, digits
from .golden import write_golden
from .onnx_outputs import add_outputs
from .torch_steps import record_modules
from .trace_file import Trace
from .tracing import trace
from .vectors import write_vectors
from .walk import compare

__all__ = [
    "Comparison",
    "DigitsReport",
    "StepComparison",
    "Trace",
    "VectorReport",
    "add_outputs",
    "check_vectors",
    "compare",
    "digits",
    "record_modules",
    "trace",
    "write_golden",
    "write_vectors",
]
