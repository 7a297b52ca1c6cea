"""What scores with a library's own file and nothing of the platform.

Model kinds predict with these modules, and a hand-over package holds a copy of one as ``estimator.py``. Each imports
NumPy alone when it is imported, and has

- ``predict(estimator, matrix, classes)``: scores before calibration of encoded rows, float64 of shape (rows,), or
  (rows, classes) where ``classes`` is not 0;
- ``open_scorer(folder)``: a function of matrix and classes that does so with the estimator in this folder, and with one
  thread.
"""
