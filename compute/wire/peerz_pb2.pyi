from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[DType]
    FP32: _ClassVar[DType]
    FP16: _ClassVar[DType]
    BF16: _ClassVar[DType]

class CodecId(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[CodecId]
    RAW: _ClassVar[CodecId]
    BLOCK8: _ClassVar[CodecId]

class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODE_UNSPECIFIED: _ClassVar[Code]
    BAD_REQUEST: _ClassVar[Code]
    CACHE_FULL: _ClassVar[Code]
    OVERLOADED: _ClassVar[Code]
    MOVED: _ClassVar[Code]
    DRAINING: _ClassVar[Code]
    UNAUTHORISED: _ClassVar[Code]
    INTERNAL: _ClassVar[Code]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    JOINING: _ClassVar[State]
    ONLINE: _ClassVar[State]
    LEAVING: _ClassVar[State]
DTYPE_UNSPECIFIED: DType
FP32: DType
FP16: DType
BF16: DType
CODEC_UNSPECIFIED: CodecId
RAW: CodecId
BLOCK8: CodecId
CODE_UNSPECIFIED: Code
BAD_REQUEST: Code
CACHE_FULL: Code
OVERLOADED: Code
MOVED: Code
DRAINING: Code
UNAUTHORISED: Code
INTERNAL: Code
STATE_UNSPECIFIED: State
JOINING: State
ONLINE: State
LEAVING: State

class Tensor(_message.Message):
    __slots__ = ("dtype", "codec", "tokens", "width", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: DType
    codec: CodecId
    tokens: int
    width: int
    data: bytes
    def __init__(self, dtype: _Optional[_Union[DType, str]] = ..., codec: _Optional[_Union[CodecId, str]] = ..., tokens: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SpanMsg(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ClientMessage(_message.Message):
    __slots__ = ("open", "step", "keepalive", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: SessionOpen
    step: Step
    keepalive: Keepalive
    close: SessionClose
    def __init__(self, open: _Optional[_Union[SessionOpen, _Mapping]] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., keepalive: _Optional[_Union[Keepalive, _Mapping]] = ..., close: _Optional[_Union[SessionClose, _Mapping]] = ...) -> None: ...

class SessionOpen(_message.Message):
    __slots__ = ("version", "session_id", "client_key", "provider_key", "network_id", "model_root", "span", "quant_spec", "numeric_profile", "codec", "dtype", "lanes", "max_tokens")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_KEY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_KEY_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    QUANT_SPEC_FIELD_NUMBER: _ClassVar[int]
    NUMERIC_PROFILE_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    version: int
    session_id: bytes
    client_key: bytes
    provider_key: bytes
    network_id: bytes
    model_root: bytes
    span: SpanMsg
    quant_spec: str
    numeric_profile: str
    codec: CodecId
    dtype: DType
    lanes: int
    max_tokens: int
    def __init__(self, version: _Optional[int] = ..., session_id: _Optional[bytes] = ..., client_key: _Optional[bytes] = ..., provider_key: _Optional[bytes] = ..., network_id: _Optional[bytes] = ..., model_root: _Optional[bytes] = ..., span: _Optional[_Union[SpanMsg, _Mapping]] = ..., quant_spec: _Optional[str] = ..., numeric_profile: _Optional[str] = ..., codec: _Optional[_Union[CodecId, str]] = ..., dtype: _Optional[_Union[DType, str]] = ..., lanes: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class RowMsg(_message.Message):
    __slots__ = ("lane", "position", "n_tokens")
    LANE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    N_TOKENS_FIELD_NUMBER: _ClassVar[int]
    lane: int
    position: int
    n_tokens: int
    def __init__(self, lane: _Optional[int] = ..., position: _Optional[int] = ..., n_tokens: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("seq", "rows", "fork", "hidden")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FORK_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    seq: int
    rows: _containers.RepeatedCompositeFieldContainer[RowMsg]
    fork: _containers.RepeatedScalarFieldContainer[int]
    hidden: Tensor
    def __init__(self, seq: _Optional[int] = ..., rows: _Optional[_Iterable[_Union[RowMsg, _Mapping]]] = ..., fork: _Optional[_Iterable[int]] = ..., hidden: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Keepalive(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("opened", "ack", "output", "heartbeat", "refusal")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    opened: SessionOpened
    ack: StepAck
    output: StepOutput
    heartbeat: Heartbeat
    refusal: Refusal
    def __init__(self, opened: _Optional[_Union[SessionOpened, _Mapping]] = ..., ack: _Optional[_Union[StepAck, _Mapping]] = ..., output: _Optional[_Union[StepOutput, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class SessionOpened(_message.Message):
    __slots__ = ("version", "session_id", "quant_spec", "numeric_profile", "kernel_class", "heartbeat_ms", "step_tokens_max", "message_bytes_max", "nonce")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    QUANT_SPEC_FIELD_NUMBER: _ClassVar[int]
    NUMERIC_PROFILE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_TOKENS_MAX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    session_id: bytes
    quant_spec: str
    numeric_profile: str
    kernel_class: str
    heartbeat_ms: int
    step_tokens_max: int
    message_bytes_max: int
    nonce: bytes
    def __init__(self, version: _Optional[int] = ..., session_id: _Optional[bytes] = ..., quant_spec: _Optional[str] = ..., numeric_profile: _Optional[str] = ..., kernel_class: _Optional[str] = ..., heartbeat_ms: _Optional[int] = ..., step_tokens_max: _Optional[int] = ..., message_bytes_max: _Optional[int] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class StepAck(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("seq", "position", "n_tokens", "kind", "in_hash", "out_hash", "in_chain", "signature")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    N_TOKENS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    IN_HASH_FIELD_NUMBER: _ClassVar[int]
    OUT_HASH_FIELD_NUMBER: _ClassVar[int]
    IN_CHAIN_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    position: int
    n_tokens: int
    kind: int
    in_hash: bytes
    out_hash: bytes
    in_chain: bytes
    signature: bytes
    def __init__(self, seq: _Optional[int] = ..., position: _Optional[int] = ..., n_tokens: _Optional[int] = ..., kind: _Optional[int] = ..., in_hash: _Optional[bytes] = ..., out_hash: _Optional[bytes] = ..., in_chain: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class StepOutput(_message.Message):
    __slots__ = ("seq", "hidden", "receipt", "compute_us", "queue_us")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    seq: int
    hidden: Tensor
    receipt: Receipt
    compute_us: int
    queue_us: int
    def __init__(self, seq: _Optional[int] = ..., hidden: _Optional[_Union[Tensor, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., compute_us: _Optional[int] = ..., queue_us: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("queued_tokens", "cache_bytes_free", "draining")
    QUEUED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FREE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    queued_tokens: int
    cache_bytes_free: int
    draining: bool
    def __init__(self, queued_tokens: _Optional[int] = ..., cache_bytes_free: _Optional[int] = ..., draining: bool = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message", "retry_after_ms", "field", "span")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    code: Code
    message: str
    retry_after_ms: int
    field: str
    span: SpanMsg
    def __init__(self, code: _Optional[_Union[Code, str]] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., field: _Optional[str] = ..., span: _Optional[_Union[SpanMsg, _Mapping]] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class InfoReply(_message.Message):
    __slots__ = ("nonce", "record", "queued_tokens", "cache_bytes_free", "sessions")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    QUEUED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FREE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    record: bytes
    queued_tokens: int
    cache_bytes_free: int
    sessions: int
    def __init__(self, nonce: _Optional[bytes] = ..., record: _Optional[bytes] = ..., queued_tokens: _Optional[int] = ..., cache_bytes_free: _Optional[int] = ..., sessions: _Optional[int] = ...) -> None: ...

class ProviderRecord(_message.Message):
    __slots__ = ("version", "public_key", "network_id", "model_root", "model_name", "span", "n_blocks", "state", "addresses", "quant_spec", "numeric_profile", "kernel_class", "codecs", "dtype", "decode_us", "prefill_tokens_s", "queue_us", "cache_bytes_free", "cache_bytes_per_token", "sessions", "adapters", "binding", "agent", "expires_at_ms")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    N_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    QUANT_SPEC_FIELD_NUMBER: _ClassVar[int]
    NUMERIC_PROFILE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    PREFILL_TOKENS_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FREE_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    version: int
    public_key: bytes
    network_id: bytes
    model_root: bytes
    model_name: str
    span: SpanMsg
    n_blocks: int
    state: State
    addresses: _containers.RepeatedScalarFieldContainer[str]
    quant_spec: str
    numeric_profile: str
    kernel_class: str
    codecs: _containers.RepeatedScalarFieldContainer[CodecId]
    dtype: DType
    decode_us: int
    prefill_tokens_s: int
    queue_us: int
    cache_bytes_free: int
    cache_bytes_per_token: int
    sessions: int
    adapters: _containers.RepeatedScalarFieldContainer[str]
    binding: bytes
    agent: str
    expires_at_ms: int
    def __init__(self, version: _Optional[int] = ..., public_key: _Optional[bytes] = ..., network_id: _Optional[bytes] = ..., model_root: _Optional[bytes] = ..., model_name: _Optional[str] = ..., span: _Optional[_Union[SpanMsg, _Mapping]] = ..., n_blocks: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ..., addresses: _Optional[_Iterable[str]] = ..., quant_spec: _Optional[str] = ..., numeric_profile: _Optional[str] = ..., kernel_class: _Optional[str] = ..., codecs: _Optional[_Iterable[_Union[CodecId, str]]] = ..., dtype: _Optional[_Union[DType, str]] = ..., decode_us: _Optional[int] = ..., prefill_tokens_s: _Optional[int] = ..., queue_us: _Optional[int] = ..., cache_bytes_free: _Optional[int] = ..., cache_bytes_per_token: _Optional[int] = ..., sessions: _Optional[int] = ..., adapters: _Optional[_Iterable[str]] = ..., binding: _Optional[bytes] = ..., agent: _Optional[str] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...

class SignedRecord(_message.Message):
    __slots__ = ("record", "signature")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    record: bytes
    signature: bytes
    def __init__(self, record: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
