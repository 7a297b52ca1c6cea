"""Scores of a model written as ONNX."""

import numpy as np


def open_scorer(folder):
    """Open model.onnx and return what scores encoded rows with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a row is too little to share
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda matrix, classes: predict(session, matrix, classes)


def predict(session, matrix, classes):
    """Score encoded rows: float64 of shape (rows,) or (rows, classes), before calibration."""
    scores = session.run(["scores"], {"features": matrix})[0].astype(np.float64)
    return scores if classes else scores[:, 0]
