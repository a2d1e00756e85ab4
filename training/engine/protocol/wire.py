"""Protobuf to numpy and back: the two payloads that the SDK insists on in binary.

The message classes are the SDK's own generated module, loaded by its file so that the rest of the
SDK (and what it imports) stays out of the server. Knows no HTTP and no limits of the model.
"""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from training.engine.errors import BadRequest, EngineError
from training.engine.messages import Datum, ForwardResult, SampleResult, TopK

CONTENT_TYPE = "application/x-protobuf"
_DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<i8"), 3: np.dtype("<i4"), 4: np.dtype("<u2")}
MAX_ELEMENTS = 8 * 1024 * 1024


def _load_messages() -> ModuleType:
    name = "tinker.proto.tinker_public_pb2"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("tinker")
    if package is None or package.origin is None:
        raise EngineError(
            "the tinker package is not installed; run pip install -r requirements.txt"
        )
    file = Path(package.origin).parent / "proto" / "tinker_public_pb2.py"
    spec = importlib.util.spec_from_file_location("training.engine.protocol._messages", file)
    if spec is None or spec.loader is None:
        raise EngineError(f"{file}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pb: Any = _load_messages()


@dataclass(frozen=True)
class ForwardBackward:
    """A forward_backward request whose envelope is read; ``data()`` reads the rest.

    Attributes:
        size: bytes of the message.
    """

    model_id: str
    seq_id: int
    loss: str
    options: Mapping[str, float | str]
    forward_only: bool
    size: int
    decoded: list[Datum] | BadRequest

    def data(self) -> list[Datum]:
        """The sequences, not yet checked against loss and model.

        Raises:
            BadRequest: a part of one that is not text or does not add up.
        """
        if isinstance(self.decoded, BadRequest):
            raise self.decoded
        return self.decoded


def decode_forward_backward(body: bytes) -> ForwardBackward:
    """Read a request.

    Raises:
        BadRequest: not such a message.
    """
    message = pb.ForwardBackwardRequest()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise BadRequest("the body is not a ForwardBackwardRequest (protobuf)") from error
    options: dict[str, float | str] = dict(message.loss_fn_config)
    for name, value in message.loss_fn_config_v2.items():
        options[name] = value.text if value.WhichOneof("value") == "text" else value.number
    try:
        decoded = [_datum(i, datum) for i, datum in enumerate(message.data)]
    except BadRequest as error:
        decoded = error  # told when it is known whose request it is, and which number is refused
    return ForwardBackward(
        model_id=message.model_id,
        seq_id=message.seq_id,
        loss=message.loss_fn,
        options=options,
        forward_only=message.forward_only,
        size=len(body),
        decoded=decoded,
    )


def _datum(index: int, message: Any) -> Datum:
    parts = []
    for chunk in message.model_input:
        kind = chunk.WhichOneof("chunk") if chunk.DESCRIPTOR.oneofs else None
        if not chunk.HasField("encoded_text"):
            raise BadRequest(
                f"data[{index}].model_input: only text is supported, got {kind or 'an empty chunk'}"
            )
        parts.append(_array(f"data[{index}].model_input", chunk.encoded_text.tokens, "<i4"))
    tokens = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    inputs = {}
    for name, tensor in message.loss_fn_inputs.items():
        where = f"data[{index}].loss_fn_inputs[{name!r}]"
        array = _tensor(where, tensor)
        inputs[name] = array.astype(np.int64 if name == "target_tokens" else np.float32)
    return Datum(tokens.astype(np.int64), inputs)


def _array(where: str, data: bytes, dtype: Any) -> np.ndarray:
    try:
        return np.frombuffer(data, dtype=dtype)
    except ValueError as error:
        raise BadRequest(f"{where}: {len(data)} bytes are no whole number of values") from error


def _tensor(where: str, message: Any) -> np.ndarray:
    """A dense array from a dense or sparse-CSR tensor."""
    dtype = _DTYPES.get(message.dtype)
    if dtype is None:
        raise BadRequest(f"{where}: unknown dtype {message.dtype}")
    shape = tuple(message.shape)
    if any(n < 0 for n in shape) or int(np.prod(shape, dtype=object)) > MAX_ELEMENTS:
        raise BadRequest(f"{where}: shape {shape} is negative or too large")
    if message.WhichOneof("encoding") == "sparse_csr":
        return _dense_from_csr(where, message.sparse_csr, dtype, shape)
    values = _array(where, message.dense, dtype)
    if dtype == np.dtype("<u2"):
        values = (values.astype(np.uint32) << 16).view(np.float32)
    if not shape:
        return values
    if values.size != int(np.prod(shape)):
        raise BadRequest(f"{where}: {values.size} values do not fill the shape {shape}")
    return values.reshape(shape)


def _dense_from_csr(where: str, csr: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    values = _array(where, csr.values, dtype)
    if dtype == np.dtype("<u2"):
        values = (values.astype(np.uint32) << 16).view(np.float32)
    starts = _array(where, csr.crow_indices, "<i8")
    columns = _array(where, csr.col_indices, "<i8")
    good = (
        len(shape) == 2
        and len(starts) == shape[0] + 1
        and len(columns) == len(values)
        and starts[0] == 0
        and starts[-1] == len(values)
        and bool((np.diff(starts) >= 0).all())
        and (len(columns) == 0 or (columns.min() >= 0 and columns.max() < shape[1]))
    )
    if not good:
        raise BadRequest(f"{where}: the sparse indices do not fit the shape {shape}")
    dense = np.zeros(shape, values.dtype)
    dense[np.repeat(np.arange(shape[0]), np.diff(starts)), columns] = values
    return dense


def encode_forward_backward(result: ForwardResult) -> bytes:
    """A ForwardBackwardOutput with one record a datum, in the request's order."""
    message = pb.ForwardBackwardOutput()
    message.loss_fn_output_type = "TorchLossReturn"
    for name, value in result.metrics.items():
        message.metrics[name] = value
    for logprobs in result.logprobs:
        record = message.loss_fn_outputs.add()
        record.num_datums = 1
        tensor = record.fields["logprobs"]
        data = np.ascontiguousarray(logprobs, dtype="<f4").tobytes()
        tensor.dtype = 1
        tensor.data = data
        tensor.offsets = np.array([0, len(data)], dtype="<i8").tobytes()
        tensor.trailing_shape.extend(logprobs.shape[1:])
    return message.SerializeToString()


def encode_sample(result: SampleResult) -> bytes:
    """A SampleResponse."""
    message = pb.SampleResponse()
    for sequence in result.sequences:
        part = message.sequences.add()
        part.stop_reason = 0 if sequence.stopped else 1
        part.tokens = np.ascontiguousarray(sequence.tokens, dtype="<i4").tobytes()
        part.logprobs = np.ascontiguousarray(sequence.logprobs, dtype="<f4").tobytes()
        if sequence.topk is not None:
            _fill_topk(part.topk_sampled_logprobs, sequence.topk)
    if result.prompt_logprobs is not None:
        message.prompt_logprobs = np.ascontiguousarray(result.prompt_logprobs, "<f4").tobytes()
    if result.topk_prompt is not None:
        _fill_topk(message.topk_prompt_logprobs, result.topk_prompt)
    return message.SerializeToString()


def _fill_topk(message: Any, topk: TopK) -> None:
    message.length, message.k = topk.ids.shape
    message.token_ids = np.ascontiguousarray(topk.ids, dtype="<i4").tobytes()
    message.logprobs = np.ascontiguousarray(topk.logprobs, dtype="<f4").tobytes()
