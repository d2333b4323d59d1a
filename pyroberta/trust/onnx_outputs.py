"""An ONNX model whose inner results are outputs too; needs the ``onnx`` library."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence

from ..checks import check_patterns, excerpt
from ..errors import InputError

_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")


def add_outputs(
    source: str | os.PathLike[str], output: str | os.PathLike[str], names: Sequence[str] = ()
) -> list[str]:
    """Write an ONNX file anew, with what its nodes give as outputs besides its own.

    An engine that runs it then gives every step. Outputs keep an optimiser from fusing the nodes
    around them: to see what an optimised graph gives, name few.

    Args:
        source: the file.
        output: the file to write; large tensors that stand beside ``source`` go beside it.
        names: patterns of the results to give; none: all.

    Returns:
        The names of all outputs, its own first.

    Raises:
        ImportError: the ``onnx`` library is missing.
        FileNotFoundError: no such file.
        InputError: no ONNX file; patterns that fit nothing.

    Example:
        >>> names = pyroberta.trust.add_outputs("model.onnx", "steps.onnx")  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("steps.onnx")  # doctest: +SKIP
        >>> steps = dict(zip(names, session.run(names, inputs)))  # doctest: +SKIP
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'add_outputs needs the onnx library: pip install "pyroberta[onnx]"'
        ) from error
    patterns = check_patterns("names", names)
    if not os.path.lexists(source):
        raise FileNotFoundError(f"source must be an ONNX file: {os.fspath(source)!r} is none")
    try:
        model = onnx.load(os.fspath(source))
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # protobuf's DecodeError and onnx's own derive from Exception alone
        raise InputError(f"source must be an ONNX file: {excerpt(str(error))}") from None
    kinds = {
        value.name: onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        for value in inferred.graph.value_info
    }
    had = {value.name for value in model.graph.output}
    results = [name for node in model.graph.node for name in node.output if name]
    added = [
        name
        for name in results
        if name not in had
        and kinds.get(name, "FLOAT") in _FLOATS
        and (not patterns or any(fnmatch.fnmatchcase(name, one) for one in patterns))
    ]
    if not added:
        raise InputError(
            f"names must be patterns of what the nodes give, such as {excerpt(results[:1])}, "
            f"not {excerpt(patterns)}"
        )
    for name in added:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    large = model.ByteSize() > 2**30
    onnx.save(model, os.fspath(output), save_as_external_data=large)
    return [value.name for value in model.graph.output]
