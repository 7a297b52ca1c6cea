"""What encodes plain rows and turns scores into answers, with NumPy and the standard library alone.

Training, server and hand-over packages use these very modules: a package holds a copy of this folder, so that it
answers to the last bit as the platform does. The modules import one another relatively, and nothing of the platform.
"""
