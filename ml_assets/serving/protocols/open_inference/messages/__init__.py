"""The messages of the Open Inference Protocol over gRPC, made from `open_inference.proto`.

`open_inference.desc` is what protoc makes of it: `make messages` after a change.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

SERVICE = "inference.GRPCInferenceService"


@cache
def message_classes() -> Mapping[str, Any]:
    """Return the classes of the messages by name, such as `ModelInferRequest`.

    They are in a pool of their own: a client in the same process brings messages of the same names.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    described = descriptor_pb2.FileDescriptorSet.FromString(
        files(__name__).joinpath("open_inference.desc").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    made = message_factory.GetMessageClassesForFiles([file.name for file in described.file], pool)
    return {name.removeprefix("inference."): message for name, message in made.items()}


def parse(name: str, body: bytes) -> Any:
    """Parse a message.

    Raises:
        BadRequest: it is none of this name.
    """
    from google.protobuf.message import DecodeError

    from ml_assets.serving.errors import BadRequest

    try:
        return message_classes()[name].FromString(body)
    except DecodeError as error:
        raise BadRequest(f"the body is no {name}: {error}") from error
