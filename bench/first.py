"""One cold start: load an engine, answer once, say so. Started by ``start.py``.

``worker.py`` is not used here, since what it imports would be a good part of a short start.
"""

import sys
import time

BEGIN = time.perf_counter()


def main() -> None:
    """Answer with one line of JSON. Arguments: engine, model, converted, threads, ids."""
    import json
    import os
    from pathlib import Path

    from .held import peak_bytes

    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, model, converted, threads, rows = sys.argv[1:]
    if name == "floor":
        import numpy  # noqa: F401  # memory is counted from that of Python with it

        load = 0.0
    else:
        from .engines import find_engine

        engine = find_engine(name).prepare(Path(model), Path(converted), int(threads))
        load = time.perf_counter() - BEGIN
        engine(json.loads(rows))
    # When the parent reads this line, the answer has come.
    print(json.dumps({"load_seconds": load, "peak_bytes": peak_bytes()}), file=pipe, flush=True)


if __name__ == "__main__":
    main()
