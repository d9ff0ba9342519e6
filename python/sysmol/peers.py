"""What users have today: the same network in ONNX Runtime, in float32 and in INT8."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError

__all__ = ["OnnxRuntime", "quantize_int8"]

Float32 = npt.NDArray[np.float32]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SysmolError(
            "onnxruntime, the peer, is not installed: run 'pip install onnxruntime'"
        ) from error
    return onnxruntime


class OnnxRuntime:
    """A model in ONNX Runtime: no spinning, all optimizations.

    Parameters
    ----------
    path : path-like
        An ONNX model with one input [N, ...] and one output.
    batch : int, optional
        Fix N, which lets ONNX Runtime optimize more. Default: any N.
    threads : int
        Threads of one run.
    """

    def __init__(
        self, path: str | os.PathLike[str], batch: int | None = None, threads: int = 1
    ) -> None:
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        for kind in ("intra", "inter"):
            options.add_session_config_entry(f"session.{kind}_op.allow_spinning", "0")
        if batch is not None:
            options.add_free_dimension_override_by_name("N", batch)
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has no common base of its errors
            raise SysmolError(f"{path}: ONNX Runtime refuses it: {error}") from error
        self._runtime = runtime
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, images: Float32, batch: int = 500) -> Float32:
        """Logits [N, K] of images [N, C, H, W]."""
        parts = [
            self._session.run(None, {self._input: images[i : i + batch]})[0]
            for i in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    def bound(self, image: Float32) -> Callable[[], object]:
        """A call on fixed arrays, the fastest way to run: nothing is copied or allocated."""
        binding = self._session.io_binding()
        value = self._runtime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(image))
        binding.bind_ortvalue_input(self._input, value)
        out = self._runtime.OrtValue.ortvalue_from_numpy(self.run(image))
        binding.bind_ortvalue_output(self._output, out)
        run = self._session.run_with_iobinding
        return lambda: run(binding)


def quantize_int8(path: str | os.PathLike[str], output: Path, images: Float32) -> None:
    """Static INT8 quantization by ONNX Runtime's own tool: QDQ, weights per channel.

    Parameters
    ----------
    path : path-like
        The float model.
    output : Path
        Where the INT8 model goes.
    images : float32 array [N, C, H, W]
        What the ranges of activations are measured on.
    """
    _onnxruntime()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Batches of the calibration images."""

        def __init__(self, name: str) -> None:
            self._batches = iter(np.array_split(images, max(1, len(images) // 50)))
            self._name = name

        def get_next(self) -> dict[str, Float32] | None:
            batch = next(self._batches, None)
            return None if batch is None else {self._name: batch}

    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        # Both chat on standard output.
        with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
            prepared = Path(folder) / "prepared.onnx"
            with contextlib.redirect_stdout(io.StringIO()):
                quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
                quantize_static(
                    str(prepared),
                    str(output),
                    Reader(OnnxRuntime(path)._input),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
    finally:
        logging.getLogger().setLevel(level)
