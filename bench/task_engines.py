"""The engines of ``tasks.py``, each in a process of its own: texts in, answers out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .channel import serve, settle, take_stdout
from .machine import versions

BATCH_SIZES = (1, 8, 32, 128)
# What an engine is called in a report, and the versions that matter to it.
ENGINES = {
    "pyroberta": ("pyroberta float32", []),
    "pyroberta-bfloat16": ("pyroberta bfloat16", []),
    "pyroberta-int8": ("pyroberta int8", []),
    "peer": ("transformers float32", ["transformers", "torch"]),
    "peer-sorted": ("transformers float32, sorted texts", []),
    "peer-bfloat16": ("transformers bfloat16", []),
    "st": ("sentence-transformers float32", ["sentence-transformers", "torch"]),
    "st-bfloat16": ("sentence-transformers bfloat16", []),
    "st-onnx": ("sentence-transformers ONNX", ["sentence-transformers", "onnxruntime"]),
    "fastembed": ("fastembed", ["fastembed", "onnxruntime"]),
}
_EMBEDDING = "sentence-embedding"

Run = Callable[[list[str], int], Any]


def engines_of(task: str, with_onnx: bool) -> list[str]:
    """The engines that do a task."""
    of_embedding = ["st", "st-bfloat16", *(["st-onnx", "fastembed"] if with_onnx else [])]
    of_others = ["peer", "peer-sorted", "peer-bfloat16"]
    own = [name for name in ENGINES if name.startswith("pyroberta")]
    return own + (of_embedding if task == _EMBEDDING else of_others)


def needs_onnx(engine: str) -> bool:
    """Whether it needs the environment that has ONNX."""
    return engine in ("st-onnx", "fastembed")


def export(folder: Path) -> None:
    """Write ``onnx/model.onnx`` beside an embedding model, for the engines that run it."""
    from sentence_transformers import SentenceTransformer

    if not (folder / "onnx").exists():
        model = SentenceTransformer(str(folder), device="cpu", backend="onnx")
        model.save_pretrained(str(folder.with_name("exported")))
        (folder.with_name("exported") / "onnx").rename(folder / "onnx")


def work(engine: str, task: str, texts: list[str], folder: Path, threads: int) -> None:
    """Answer "best", "turn", "versions", and of pyroberta in float32 "parts"."""
    pipe = take_stdout()
    warnings.simplefilter("ignore")
    if engine.endswith("sorted"):
        texts = sorted(texts, key=len)
    chosen: list[int] = []
    jobs: dict[str, Any] = {}
    if engine.startswith("pyroberta"):
        task_itself = _ours(engine, task, folder, threads)
        jobs["parts"] = lambda: _parts(task_itself, task, texts)

        def run(texts: list[str], batch_size: int) -> Any:
            return task_itself(texts)
    else:
        run = _peer(engine, task, folder, threads)

    def best() -> dict[str, Any]:
        if engine.startswith("pyroberta"):
            run(texts, 0)
            chosen[:] = [0]
            return {"batch_size": None}
        part, times = texts[:: len(texts) // 300 + 1], {}
        for batch_size in BATCH_SIZES:
            begin = time.perf_counter()
            run(part, batch_size)
            times[batch_size] = time.perf_counter() - begin
        chosen[:] = [min(times, key=times.__getitem__)]
        return {"batch_size": chosen[0]}

    def turn() -> dict[str, Any]:
        begin = time.perf_counter()
        run(texts, chosen[0])
        seconds = time.perf_counter() - begin
        settle()
        return {"seconds": seconds}

    jobs |= {"best": best, "turn": turn, "versions": lambda: versions(ENGINES[engine][1])}
    serve(pipe, jobs)


def _ours(engine: str, task: str, folder: Path, threads: int) -> Any:
    import pyroberta

    pyroberta.set_num_threads(threads)
    _, _, compute_type = engine.partition("-")
    return pyroberta.pipeline(task, folder, compute_type=compute_type or "float32")


def _parts(ours: Any, task: str, texts: list[str]) -> dict[str, Any]:
    """Seconds of tokenizing alone, of computing alone, and of both; and the tokens."""
    found: dict[str, list[float]] = {"tokenize": [], "compute": [], "both": []}
    tokens = 0
    for _ in range(3):
        begin = time.perf_counter()
        rows = [ours.tokenizer.encode_with_offsets(text) for text in texts]
        found["tokenize"].append(time.perf_counter() - begin)
        begin = time.perf_counter()
        if task == _EMBEDDING:
            ours._embed([row.ids for row in rows], ours._makes, 0)
        else:
            ours._compute(rows, ours.options)
        found["compute"].append(time.perf_counter() - begin)
        begin = time.perf_counter()
        ours(texts)
        found["both"].append(time.perf_counter() - begin)
        tokens = sum(map(len, rows))
    return {name: sorted(times)[len(times) // 2] for name, times in found.items()} | {
        "tokens": tokens
    }


def _peer(engine: str, task: str, folder: Path, threads: int) -> Run:
    if engine == "fastembed":
        return _fastembed(folder, threads)
    import torch

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if engine.endswith("bfloat16") else torch.float32
    if task == _EMBEDDING:
        from sentence_transformers import SentenceTransformer

        if engine == "st-onnx":
            import onnxruntime

            session = onnxruntime.SessionOptions()
            session.intra_op_num_threads = threads
            kwargs = {"session_options": session, "file_name": "model.onnx"}
            model = SentenceTransformer(
                str(folder), device="cpu", backend="onnx", model_kwargs=kwargs
            )
        else:
            model = SentenceTransformer(str(folder), device="cpu").to(dtype)
        return lambda texts, size: model.encode(texts, batch_size=size, show_progress_bar=False)
    import transformers

    theirs = transformers.pipeline(task, str(folder), device="cpu", dtype=dtype)
    more = {"truncation": True} if task == "text-classification" else {}
    return lambda texts, size: theirs(texts, batch_size=size, **more)


def _fastembed(folder: Path, threads: int) -> Run:
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="own",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="own"),
        dim=384,
        model_file="onnx/model.onnx",
    )
    model = TextEmbedding("own", specific_model_path=str(folder), threads=threads)
    return lambda texts, size: list(model.embed(texts, batch_size=size))
