"""Score rows of features as the platform does. Needs NumPy and what estimator.py imports.

Run `python score.py < rows.jsonl > answers.jsonl`, one JSON object a line, or call `answer(rows)`. A row holds every
feature by name, null where there is no value.
"""

import json
import sys
from itertools import islice
from pathlib import Path

from estimator import open_scorer
from scoring_core.files import StoredModel

FOLDER = Path(__file__).resolve().parent
MODEL = StoredModel.read(FOLDER)
ENCODER = MODEL.encoder()
SCORE = open_scorer(FOLDER)


def answer(rows):
    """Return an object for each row: score, prediction, and what the task adds; ValueError names a row that misfits."""
    return MODEL.answers(SCORE(ENCODER.encode_rows(rows), len(MODEL.classes or ()))) if rows else []


if __name__ == "__main__":
    while lines := list(islice(sys.stdin, 10_000)):
        sys.stdout.writelines(json.dumps(each) + "\n" for each in answer([json.loads(line) for line in lines]))
