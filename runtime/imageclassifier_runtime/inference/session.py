"""Runs inference: an ONNX Runtime session, configured for small containers and tested before it is used."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from imageclassifier_runtime.errors import INVALID, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]


class Session:
    """A graph that maps [N, 3, S, S] float32 to [N, C] float32; safe to call from several threads."""

    def __init__(self, session: Any, *, input_size: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self.input_size = input_size
        self.classes, self.gives_probabilities = self._probe()

    @property
    def names(self) -> tuple[str, str]:
        """Return the graph's names of its input and of the output that is read."""
        return self._input, self._output

    def run(self, batch: FloatArray) -> FloatArray:
        """Return the scores [N, C] of a batch [N, 3, S, S]."""
        scores: FloatArray = self._session.run([self._output], {self._input: batch})[0]
        return scores

    def check_batches(self, size: int) -> None:
        """Check that inputs get the same scores in a batch as alone; raises ModelError if not.

        A graph may have a fixed batch size, or mix its inputs (softmax or quantization ranges over the whole
        batch): then one client's result would depend on another client's image.
        """
        remedy = "Export it with an open batch axis, or leave batching off (a batch size of 1)"
        fixed = self._session.get_inputs()[0].shape[0]
        if isinstance(fixed, int):
            raise ModelError(
                INVALID,
                f"the model takes {fixed} image at a time, but the batch size is {size}. {remedy}",
            )
        inputs = np.random.default_rng(0).standard_normal((2, 3, self.input_size, self.input_size), np.float32)
        inputs[1] *= 50  # then a value computed over the whole batch differs clearly for the first input
        alone = np.concatenate([self.run(inputs[:1]), self.run(inputs[1:])])
        try:
            together = self.run(inputs)
        except Exception as error:
            if not _is_of_onnxruntime(error):
                raise
            raise ModelError(INVALID, f"the model cannot take two images at a time: {error}. {remedy}") from error
        spread = np.ptp(alone, axis=1, keepdims=True)
        if together.shape != alone.shape or not (np.abs(together - alone) <= 0.02 * spread + 1e-4).all():
            raise ModelError(INVALID, f"the model scores two images differently in a batch than alone. {remedy}")

    def _probe(self) -> tuple[int, bool]:
        """Run twice and return (classes, whether the output is already a softmax)."""
        shape = (1, 3, self.input_size, self.input_size)
        noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        outputs = [self.run(np.zeros(shape, np.float32)), self.run(noise)]
        for scores in outputs:
            if scores.ndim != 2 or scores.shape[0] != 1 or scores.shape[1] < 2 or scores.dtype != np.float32:
                raise ModelError(
                    INVALID, f"the model's output is {scores.dtype} {list(scores.shape)}, not float32 [1, classes]"
                )
            if not np.isfinite(scores).all():
                raise ModelError(INVALID, "the model's output is not finite")
        is_softmax = all(bool((scores >= 0).all()) and abs(float(scores.sum()) - 1) < 1e-3 for scores in outputs)
        return outputs[0].shape[1], is_softmax


def session_options(threads: int) -> Any:
    """Return ONNX Runtime's options for serving, with `threads` threads for one inference."""
    import onnxruntime  # noqa: PLC0415 - slow to import, and `fetch` rarely needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Memory patterns allocate one block for all activations in addition to the arena, and save no time.
    options.enable_mem_pattern = False
    # Threads that sleep between the fifty steps of an inference are woken fifty times, which takes longer than
    # their share of the work. Spinning after the last step would use up the CPU quota of the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    _share_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    return options


@functools.cache
def _share_arena() -> None:
    """Share one arena among all sessions: separate arenas would each keep memory that only one uses at a time."""
    import onnxruntime  # noqa: PLC0415

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    info = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # 0 and -1 are ONNX Runtime's defaults: no limit, doubling, default chunk sizes.
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


def open_session(graph: Path, *, input_size: int, threads: int) -> Session:
    """Load a graph with `threads` threads for one inference; raises ModelError if it cannot be run."""
    import onnxruntime  # noqa: PLC0415

    options = session_options(threads)
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        return Session(session, input_size=input_size)
    except ModelError:
        raise
    except Exception as error:
        if not _is_of_onnxruntime(error):
            raise
        raise ModelError(INVALID, f"ONNX Runtime cannot run the model: {error}") from error


def _is_of_onnxruntime(error: Exception) -> bool:
    """Return whether an error is ONNX Runtime's; its errors have no public base class."""
    return type(error).__module__.startswith("onnxruntime")
