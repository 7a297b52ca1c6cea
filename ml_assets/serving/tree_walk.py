"""XGBoost's trees as arrays, for a row or a few: all trees are walked at once, a level at a time.

A call of the library costs hundreds of microseconds before it looks at the first tree; this takes tens. The rules are
those of XGBoost's model format (https://xgboost.readthedocs.io, "Introduction to Model IO"): left where the value is
below the condition, right where a category is in the node's set, the node's default where there is no value, all in
float32.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import xgboost as xgb

_LOGISTIC, _SOFTMAX = "binary:logistic", "multi:softprob"
_AS_IT_IS = ("reg:squarederror", "reg:absoluteerror", "reg:quantileerror")
_MOST_CELLS = 20_000_000  # of the table of categories, a byte each


class TreeWalk:
    """Scores of one booster; made by `of`."""

    def __init__(self, trees: Sequence[Mapping[str, Any]], group: Sequence[int], base: np.ndarray, objective: str):
        self._objective = objective
        self._base = base.astype(np.float32)
        self._group = np.asarray(group, dtype=np.intp)
        sizes = [len(tree["left_children"]) for tree in trees]
        self._roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        left, right, self._feature, self._condition, self._default, own = (
            np.concatenate(parts) for parts in zip(*map(_arrays, trees, self._roots), strict=True)
        )
        # children[2 * node + goes left]; a leaf leads to itself.
        self._children = np.stack([right, left], axis=1).ravel()
        self._depth = max(map(_depth, trees))
        self._category_rows, self._in_set = _category_table(trees, self._roots, len(own))

    @classmethod
    def of(cls, booster: "xgb.Booster") -> Self | None:
        """The booster's trees; None where it is another kind of booster or has an objective that is not known here."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        boosted, objective = learner["gradient_booster"], learner["objective"]["name"]
        if boosted["name"] != "gbtree" or objective not in (_LOGISTIC, _SOFTMAX, *_AS_IT_IS):
            return None
        model, classes = boosted["model"], int(learner["learner_model_param"]["num_class"])
        base = np.array(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64).ravel()
        if objective == _LOGISTIC:
            base = np.log(base / (1 - base))
        base = np.broadcast_to(base, (max(classes, 1),)).copy()
        cells = _table_width(model["trees"]) * (1 + sum(len(tree["categories_nodes"]) for tree in model["trees"]))
        if (
            not model["trees"]
            or cells > _MOST_CELLS
            or any(tree["tree_param"]["size_leaf_vector"] not in ("0", "1") for tree in model["trees"])
        ):
            return None
        return cls(model["trees"], model["tree_info"], base, objective)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """What the booster predicts for float32 rows, as float64 of shape (rows,) or (rows, classes)."""
        margins = np.empty((len(matrix), len(self._base)), dtype=np.float32)
        for at, row in enumerate(matrix):
            # In the order of the trees, one after the other, as the library adds them up.
            leaves = self._leaves(row)
            for group in range(len(self._base)):
                own = leaves[self._group == group] if len(self._base) > 1 else leaves
                added = np.cumsum(np.append(self._base[group], own), dtype=np.float32)
                margins[at, group] = added[-1]
        if self._objective == _SOFTMAX:
            raised = np.exp(margins - margins.max(axis=1, keepdims=True))
            return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float64)
        margin = margins[:, 0]
        return (1 / (1 + np.exp(-margin)) if self._objective == _LOGISTIC else margin).astype(np.float64)

    def _leaves(self, row: np.ndarray) -> np.ndarray:
        missing = np.isnan(row)
        some_missing = missing.any()
        codes = np.where(missing, 0, row).clip(0, self._in_set.shape[1] - 1).astype(np.intp)
        node = self._roots
        for _ in range(self._depth):
            feature = self._feature.take(node)
            left = row.take(feature) < self._condition.take(node)
            if len(self._in_set) > 1:
                table_row = self._category_rows.take(node)
                left = np.where(table_row > 0, ~self._in_set[table_row, codes.take(feature)], left)
            if some_missing:
                left = np.where(missing.take(feature), self._default.take(node), left)
            node = self._children.take(2 * node + left)
        return self._condition.take(node)


def _arrays(tree: Mapping[str, Any], offset: int) -> tuple[np.ndarray, ...]:
    left, right = (np.array(tree[f"{side}_children"], dtype=np.intp) for side in ("left", "right"))
    own, leaf = np.arange(len(left), dtype=np.intp), left < 0
    return (
        np.where(leaf, own, left) + offset,
        np.where(leaf, own, right) + offset,
        np.where(leaf, 0, np.array(tree["split_indices"], dtype=np.intp)),
        np.array(tree["split_conditions"], dtype=np.float32),
        np.array(tree["default_left"], dtype=bool),
        own,
    )


def _depth(tree: Mapping[str, Any]) -> int:
    """Splits on the longest way from the root to a leaf."""
    left, right = tree["left_children"], tree["right_children"]
    level, depth = [0], 0
    while level := [child for node in level if left[node] >= 0 for child in (left[node], right[node])]:
        depth += 1
    return depth


def _table_width(trees: Sequence[Mapping[str, Any]]) -> int:
    return 2 + max((max(tree["categories"], default=0) for tree in trees), default=0)


def _category_table(trees: Sequence[Mapping[str, Any]], roots: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """For each node its row of the table, 0 for none; the table tells which codes go right. Its last column is empty:
    a code that no set has goes left."""
    width = _table_width(trees)
    rows, table = np.zeros(nodes, dtype=np.intp), [np.zeros(width, dtype=bool)]
    for tree, root in zip(trees, roots, strict=True):
        found = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        for node, begin, size in found:
            in_set = np.zeros(width, dtype=bool)
            in_set[tree["categories"][begin : begin + size]] = True
            rows[root + node] = len(table)
            table.append(in_set)
    return rows, np.array(table)
