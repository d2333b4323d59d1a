"""Generation: from a prompt to new tokens, one step at a time.

``calls.py`` is what ``RobertaForCausalLM.generate`` and ``.stream`` call; ``options.py`` checks
what is asked for; ``rows.py`` holds the rows and runs the model; ``processors.py`` changes logits;
``steps.py``, ``contrastive.py`` and ``beam.py`` choose the tokens.
"""

from __future__ import annotations

from .calls import generate, stream
from .options import GenerationOptions

__all__ = ["GenerationOptions", "generate", "stream"]
