"""The model's trees as ONNX."""

from pathlib import Path

import numpy as np
import onnxruntime

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = 1  # a row is too little to share
SESSION = onnxruntime.InferenceSession(
    Path(__file__).resolve().parent / "model.onnx", OPTIONS, providers=["CPUExecutionProvider"]
)


def predict(matrix):
    """Scores before calibration, float64 of shape (rows,) or (rows, classes)."""
    scores = SESSION.run(["scores"], {"features": matrix})[0].astype(np.float64)
    return scores[:, 0] if scores.shape[1] == 1 else scores
