"""TensorFlow Serving's REST API for examples: the classes that they are of, or the value that they have."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, Field

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureRows, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.feature_forms import example_rows, wrapped
from ml_assets.serving.protocols.fields import ABSENT, Open, feature_type, list_of, partial_record, record
from ml_assets.serving.protocols.open_inference.classification import class_probabilities
from ml_assets.serving.protocols.tensor_models import has_classes
from ml_assets.serving.protocols.tensorflow_serving import BASES, SIGNATURE, plain_rows, read_signed
from ml_assets.training.tasks.columns import SCORE

MOST_SHARED = 1_000_000
"""Values that a context may give all examples together: they are few bytes of a body, and memory for each example."""


class TensorFlowExamples(RequestProtocol):
    """Rows under `examples`, with what all of them have under `context`."""

    verb: ClassVar[str]
    """What stands behind the colon of a path."""

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse the examples, each completed by the context."""
        return PredictionRequest(read_examples(body))

    def write(self, response: PredictionResponse) -> bytes:
        """Render a result for each example; raises BadRequest where the model has none of the kind."""
        return orjson.dumps({"result": self.results(response.champion.name, response.by_column())})

    @abstractmethod
    def results(self, model: str, answer: Mapping[str, list]) -> list:
        """Return the result of each row of an answer by column; raises BadRequest where the model has none."""

    def described(self, model: DescribedModel, summary: str, result: Any) -> Interface:
        """Describe requests about a model.

        Args:
            result: type of the result of each example.
        """
        return Interface(
            summary=summary,
            description="A row of features under examples each; those that all rows have may stand under context "
            "instead. A value may stand in a list of one, and a text as base64 under b64. NaN is a missing value, as "
            "null is.",
            request=_examples_model(model, self.limits.rows),
            example={"examples": example_rows(model)},
            response=record(f"{model.name}_{self.verb}_results", {"result": list[result]}),
            refusals=(400, 404, 408, 413, 503),
        )


class TensorFlowClassification(TensorFlowExamples):
    """Each example's classes with their probabilities."""

    verb = "classify"
    http = HttpBinding(paths=[f"{base}:classify" for base in BASES], tag="tensorflow_serving")

    def results(self, model: str, answer: Mapping[str, list]) -> list:
        """Return pairs of class and probability, in the order of the model's classes."""
        probabilities = class_probabilities(answer)
        if not probabilities:
            raise BadRequest(f"{model} predicts a value and tells no classes apart: ask it by :regress")
        return [[*zip(probabilities, row, strict=True)] for row in zip(*probabilities.values(), strict=True)]

    def describe(self, model: DescribedModel) -> Interface | None:
        """Describe requests about a model that tells classes apart."""
        # Class and probability: schemathesis does not read responses with tuples.
        pairs = list[Annotated[list[str | float], Field(min_length=2, max_length=2)]]
        return self.described(model, f"Classes of examples by {model.name}", pairs) if has_classes(model) else None


class TensorFlowRegression(TensorFlowExamples):
    """Each example's value."""

    verb = "regress"
    http = HttpBinding(paths=[f"{base}:regress" for base in BASES], tag="tensorflow_serving")

    def results(self, model: str, answer: Mapping[str, list]) -> list:
        """Return the values that are predicted."""
        if class_probabilities(answer):
            raise BadRequest(f"{model} tells classes apart and predicts no value: ask it by :classify")
        return answer[SCORE]

    def describe(self, model: DescribedModel) -> Interface | None:
        """Describe requests about a model that predicts a value."""
        return None if has_classes(model) else self.described(model, f"Values of examples by {model.name}", float)


def read_examples(body: bytes) -> FeatureRows:
    """Take the rows out of a request.

    Raises:
        BadRequest: there are none, or one gives a feature that the context gives, or that gives too many values (413).
    """
    request = read_signed(body)
    examples, context = request.get("examples"), request.get("context", {})
    if not isinstance(examples, list):
        raise BadRequest("examples: must be a list of examples")
    if not isinstance(context, dict):
        raise BadRequest("context: must be an object of the features that all examples have")
    if len(context) * len(examples) > MOST_SHARED:
        raise BadRequest(
            f"context: {len(context)} features of {len(examples)} examples are more than {MOST_SHARED:,} values: send "
            "fewer at once",
            413,
        )
    for at, example in enumerate(examples):
        if type(example) is not dict:
            raise BadRequest(f"example {at} must be an object")
        if both := sorted(context.keys() & example.keys()):
            raise BadRequest(f"example {at}: gives {both[0][:60]!r}, which context gives: give it once")
    return plain_rows(FeatureRows([{**context, **example} for example in examples] if context else examples))


def _examples_model(model: DescribedModel, most: int) -> type[BaseModel]:
    features = partial_record(
        f"{model.name}_some_features", {each.name: wrapped(feature_type(each)) for each in model.features}
    )
    return record(
        f"{model.name}_examples",
        {"examples": list_of(features, most)},
        base=Open,
        context=(features, ABSENT),
        signature_name=(Literal[SIGNATURE], ABSENT),
    )
