"""XGBoost's trees as an ONNX model, for the server's few rows and for hand-over.

A call of the library costs hundreds of microseconds before it looks at the first tree; ONNX Runtime takes a tenth of
it. The rules are those of XGBoost's model format (https://xgboost.readthedocs.io, "Introduction to Model IO"): left
where the value is below the condition, right where a category is in the node's set, the node's default where there is
no value, all in float32.

ONNX's trees compare with one number at a time. A set of categories is therefore a chain of nodes, one a category, that
all lead to the same child; ONNX Runtime knows such chains, which converters of other libraries write too, and puts
them together again.

onnxmltools 1.16 is not used: it fails on boolean features, and where these are declared as numbers its values differ
from the library's by more than the last bit of a float32, and it gives labels and probabilities instead of scores.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from ml_assets.training.kinds.base import FewRowsScorer, OnnxUnsupported

if TYPE_CHECKING:
    import xgboost as xgb

INPUT, OUTPUT = "features", "scores"

_LOGISTIC, _SOFTMAX = "binary:logistic", "multi:softprob"
_TRANSFORMS = {
    _LOGISTIC: "Sigmoid",
    _SOFTMAX: "Softmax",
    **dict.fromkeys(("reg:squarederror", "reg:absoluteerror", "reg:quantileerror"), "Identity"),
}
_MOST_NODES = 2_000_000  # about 100 MB of attributes
_OPSETS = {"": 17, "ai.onnx.ml": 3}
_FORMAT = 8  # the first that has these operators, so that older runtimes read it too


def booster_to_onnx(booster: "xgb.Booster") -> bytes:
    """Write a booster as ONNX, from encoded rows to the scores before any calibration; see `ModelKind.to_onnx`.

    Raises:
        OnnxUnsupported: its objective or its form of trees is not known here.
    """
    read = _Booster.of(booster)
    return read.write(_TRANSFORMS[read.objective])


def open_booster(booster: "xgb.Booster") -> FewRowsScorer:
    """Return a function that scores float32 rows in ONNX Runtime as the library does.

    It uses the calling thread and no other. Margins become probabilities here, by the library's own steps in
    float32: the runtime's function is right to seven places behind the point, not to seven digits.

    Raises:
        OnnxUnsupported: as `booster_to_onnx`.
    """
    import onnxruntime

    read = _Booster.of(booster)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # A thread that waits by spinning takes the processor from the one that answers the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Typed as ONNX Runtime does not: the graph has one output, which is an array.
    run: Callable[[list[str], dict[str, np.ndarray]], list[np.ndarray]] = cast(
        "Any", onnxruntime.InferenceSession(read.write("Identity"), options, providers=["CPUExecutionProvider"])
    ).run
    names = [OUTPUT]
    if read.objective == _SOFTMAX:
        return lambda matrix: [_softmax(row) for row in run(names, {INPUT: matrix})[0].tolist()]
    if read.objective == _LOGISTIC:
        return lambda matrix: [_sigmoid(margin) for (margin,) in run(names, {INPUT: matrix})[0].tolist()]
    return lambda matrix: run(names, {INPUT: matrix})[0][:, 0].tolist()


def _sigmoid(margin: float) -> float:
    raised = float(np.float32(math.exp(min(-margin, 88.7))))
    return float(np.float32(1 / float(np.float32(raised + 1))))


def _softmax(margins: list[float]) -> list[float]:
    highest = max(margins)
    raised = [float(np.float32(math.exp(float(np.float32(margin - highest))))) for margin in margins]
    total = float(np.float32(sum(raised)))
    return [float(np.float32(value / total)) for value in raised]


@dataclass(frozen=True)
class _Booster:
    """The content of a booster's JSON.

    Attributes:
        trees: each with the number of the target that its leaves are added to.
        base: the margin of each target to begin with, float32.
    """

    objective: str
    features: int
    trees: Sequence[tuple[Mapping[str, Any], int]]
    base: np.ndarray

    @classmethod
    def of(cls, booster: "xgb.Booster") -> Self:
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        boosted, objective = learner["gradient_booster"], learner["objective"]["name"]
        if boosted["name"] != "gbtree" or objective not in _TRANSFORMS:
            raise OnnxUnsupported(f"booster {boosted['name']} with objective {objective} cannot be written as ONNX")
        trees, parameters = boosted["model"]["trees"], learner["learner_model_param"]
        if not trees or any(tree["tree_param"]["size_leaf_vector"] not in ("0", "1") for tree in trees):
            raise OnnxUnsupported("a booster without trees, or with vectors as leaves, cannot be written as ONNX")
        nodes = sum(len(tree["left_children"]) + len(tree["categories"]) for tree in trees)
        if nodes > _MOST_NODES:
            raise OnnxUnsupported(f"a booster with {nodes} nodes is too large to be written as ONNX")
        base = np.array(json.loads(parameters["base_score"]), dtype=np.float32).ravel()
        if objective == _LOGISTIC:
            base = -np.log((1 / base - 1).astype(np.float64)).astype(np.float32)
        base = np.broadcast_to(base, (max(int(parameters["num_class"]), 1),))
        placed = list(zip(trees, boosted["model"]["tree_info"], strict=True))
        return cls(objective, int(parameters["num_feature"]), placed, base)

    def write(self, transform: str) -> bytes:
        """Return ONNX with this operator behind the margins."""
        written = _Trees()
        # As trees of a single leaf, in front: the library begins with the base, and the order decides the last bits.
        for target, value in enumerate(self.base):
            written.add_constant(float(value), target)
        for tree, target in self.trees:
            written.add(tree, target)
        return _model(written, self.features, len(self.base), transform)


class _Trees:
    """The attributes of the operator TreeEnsembleRegressor."""

    def __init__(self) -> None:
        self._tree = 0
        self.attributes: dict[str, list] = {}

    def add_constant(self, value: float, target: int) -> None:
        """Add a tree of one leaf."""
        self._leaf(0, value, target)
        self._tree += 1

    def add(self, tree: Mapping[str, Any], target: int) -> None:
        """Add a tree of the library's format."""
        stored = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        sets = {node: tree["categories"][begin : begin + size] for node, begin, size in stored}
        free = len(tree["left_children"])
        for node, left in enumerate(tree["left_children"]):
            right, condition = tree["right_children"][node], tree["split_conditions"][node]
            feature, goes_left = tree["split_indices"][node], bool(tree["default_left"][node])
            if left < 0:
                self._leaf(node, condition, target)
            elif node in sets:
                codes = sets[node] or [-1]  # an empty set, too, is a node that a missing value leaves by its default
                chain = [node, *range(free, free + len(codes) - 1)]
                free += len(chain) - 1
                for own, after, code in zip(chain, [*chain[1:], left], codes, strict=True):
                    # A value that is missing leaves at the first node, or goes through to the end.
                    leaves = own == node and not goes_left
                    self._node(own, "BRANCH_EQ", feature, float(code), (right, after), leaves)
            else:
                self._node(node, "BRANCH_LT", feature, condition, (left, right), goes_left)
        self._tree += 1

    def _leaf(self, node: int, value: float, target: int) -> None:
        self._node(node, "LEAF", 0, 0.0, (0, 0), False)
        self._append("target", treeids=self._tree, nodeids=node, ids=target, weights=value)

    def _node(self, node: int, mode: str, feature: int, value: float, to: tuple[int, int], default: bool) -> None:
        self._append(
            "nodes", treeids=self._tree, nodeids=node, modes=mode, featureids=feature, values=value,
            truenodeids=to[0], falsenodeids=to[1], missing_value_tracks_true=int(default),
        )  # fmt: skip

    def _append(self, of: str, **values: Any) -> None:
        for name, value in values.items():
            self.attributes.setdefault(f"{of}_{name}", []).append(value)


def _model(trees: _Trees, features: int, targets: int, transform: str) -> bytes:
    from onnx import TensorProto, helper

    attributes: dict[str, Any] = trees.attributes
    steps = [
        helper.make_node(
            "TreeEnsembleRegressor", [INPUT], ["margins"], domain="ai.onnx.ml", n_targets=targets, **attributes
        ),
        # An operator of its own: what the trees' own transform does to a single target differs between runtimes.
        helper.make_node(transform, ["margins"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        steps,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", targets])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=_FORMAT, producer_name="ml_assets")
    return made.SerializeToString()
