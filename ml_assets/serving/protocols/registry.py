"""The request protocols that a server speaks."""

from ml_assets.extensions import Extensions
from ml_assets.serving.protocols.adapter import ProtocolLimits, RequestProtocol

REQUEST_PROTOCOLS: Extensions[type[RequestProtocol]] = Extensions(
    "ml_assets.request_protocols",
    "request protocol",
    {
        "rows": "ml_assets.serving.protocols.rows:RowProtocol",
        "open_inference": "ml_assets.serving.protocols.open_inference.protocol:OpenInference",
        "open_inference_messages": "ml_assets.serving.protocols.open_inference.message_protocol:OpenInferenceMessages",
        "tensorflow_serving": "ml_assets.serving.protocols.tensorflow_serving:TensorFlowServing",
        "tensorflow_classification": "ml_assets.serving.protocols.tensorflow_examples:TensorFlowClassification",
        "tensorflow_regression": "ml_assets.serving.protocols.tensorflow_examples:TensorFlowRegression",
        "kserve": "ml_assets.serving.protocols.kserve:KServeExplanation",
        "torchserve": "ml_assets.serving.protocols.torchserve:TorchServe",
        "mlflow_scoring": "ml_assets.serving.protocols.mlflow_scoring:MlflowScoring",
    },
    "ml_assets.serving.protocols.adapter:RequestProtocol",
    takes_classes=True,
)


def served_protocols(limits: ProtocolLimits) -> list[RequestProtocol]:
    """Make every protocol that HTTP or gRPC carries."""
    made = [protocol(limits) for protocol in REQUEST_PROTOCOLS.loadable().values()]
    return [protocol for protocol in made if protocol.http is not None or protocol.grpc is not None]
