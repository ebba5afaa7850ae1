"""What S3 services and botocore raise, as StoreErrors.

Both tables are by name, so that nothing needs importing before something has failed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from typing import Final

from vfsmount.errors import (
    AlreadyExists,
    Archived,
    Corrupt,
    InvalidKey,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

_CODES: Final[dict[type[StoreError], str]] = {
    NotFound: "NoSuchKey NoSuchBucket NoSuchUpload NoSuchVersion NotFound NoSuchAccessPoint",
    PermissionDenied: (
        "AccessDenied AllAccessDisabled AccountProblem AccessForbidden InvalidPayer InvalidBucketOwnerAWSAccountID"
        " AccessPointAccessDenied KMS.AccessDeniedException Forbidden UserProjectAccountProblem UserProjectMissing"
        " InvalidSecurity NotSignedUp CrossLocationLoggingProhibited UnauthorizedAccess MethodNotAllowed"
        " KMS.DisabledException AccountNotActive UnauthorizedAccessError"
    ),
    Unauthenticated: (
        "InvalidAccessKeyId SignatureDoesNotMatch ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken"
        " RequestExpired RequestTimeTooSkewed AuthorizationHeaderMalformed CredentialsNotSupported"
        " MissingSecurityHeader MissingAuthenticationToken UnrecognizedClientException InvalidClientTokenId AuthFailure"
        " Unauthorized"
        " MissingSecurityElement AuthorizationQueryParametersError AuthenticationRequired MissingClientTokenId"
        " IncompleteSignature InvalidIdentityToken IDPCommunicationError NoSuchSession"
    ),
    PreconditionFailed: "PreconditionFailed ConditionalRequestConflict ConditionNotMet",
    AlreadyExists: "ObjectAlreadyExists ObjectAlreadyInActiveTierError",
    Archived: "InvalidObjectState ObjectNotInActiveTierError RestoreAlreadyInProgress",
    Unavailable: (
        "InternalError InternalFailure ServiceUnavailable ServiceFailure SlowDown SlowDownRead SlowDownWrite Busy"
        " Throttling ThrottlingException ThrottledException RequestLimitExceeded RequestThrottled TooManyRequests"
        " RequestThrottledException ProvisionedThroughputExceededException BandwidthLimitExceeded"
        " LimitExceededException RequestTimeout RequestTimeoutException PriorRequestNotComplete OperationAborted"
        " TransactionInProgressException PermanentRedirect TemporaryRedirect Redirect"
        " IllegalLocationConstraintException BadGateway GatewayTimeout"
        " ClientDisconnected EC2ThrottledException ReplicationError ServerNotInitialized XMinioServerNotInitialized"
        " KMS.ThrottlingException KMS.InternalException KMS.KMSInternalException RateLimitExceeded EndpointNotFound"
    ),
    InvalidKey: "KeyTooLongError KeyTooLong InvalidURI ObjectNameTooLong XMinioInvalidObjectName InvalidObjectName",
    TooLarge: "EntityTooLarge MaxMessageLengthExceeded MetadataTooLarge InlineDataTooLarge",
    NotSupported: "NotImplemented UnsupportedOperation NotSupported UnsupportedArgument",
    Corrupt: (
        "BadDigest InvalidDigest IncompleteBody XAmzContentSHA256Mismatch XAmzContentChecksumMismatch"
        " ContentSHA256Mismatch RequestBodyLengthMismatch"
    ),
    # Ours to get right, so nothing that a caller can act on: EIO with the code in the message.
    StoreError: (
        "EntityTooSmall InvalidPart InvalidPartOrder InvalidArgument InvalidRequest InvalidRange InvalidBucketName"
        " InvalidBucketState InvalidEncryptionAlgorithmError InvalidStorageClass InvalidTag MalformedXML"
        " MissingContentLength MissingRequestBodyError RequestHeaderSectionTooLarge UnexpectedContent"
        " UnresolvableGrantByEmailAddress UserKeyMustBeSpecified KMS.NotFoundException KMS.KMSInvalidStateException"
        " InvalidHTTPMethod BadRequest NoSuchKMSKey InvalidLocationConstraint TooManyBuckets BucketAlreadyExists"
    ),
}

CODES: Final[dict[str, type[StoreError]]] = {code: cls for cls, codes in _CODES.items() for code in codes.split()}
"""The class for each error code of S3 and of services that speak like it."""

STATUSES: Final[dict[int, type[StoreError]]] = {
    301: Unavailable,
    307: Unavailable,
    400: StoreError,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: PermissionDenied,
    408: Unavailable,
    409: PreconditionFailed,
    411: StoreError,
    412: PreconditionFailed,
    413: TooLarge,
    414: InvalidKey,
    416: StoreError,
    429: Unavailable,
    500: Unavailable,
    501: NotSupported,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""The class for an answer without a code that we know (the answer to a HEAD has no body)."""

_EXCEPTIONS: Final[dict[type[StoreError], str]] = {
    Unavailable: (
        "ConnectionError ConnectTimeoutError EndpointConnectionError ProxyConnectionError SSLError HTTPClientError"
        " ReadTimeoutError ConnectionClosedError ResponseStreamingError CapacityNotAvailableError ResponseParserError"
        " EndpointProviderError NoRegionError UnknownEndpointError BaseEndpointResolverError UnknownRegionError"
        " ClientPayloadError ServerDisconnectedError TimeoutError FSTimeoutError OSError"
        " WaiterError PaginationError EventStreamError"
        " ClientError"  # botocore's has an answer, which decides; without one it is aiohttp's
    ),
    Unauthenticated: (
        "NoCredentialsError PartialCredentialsError CredentialRetrievalError MetadataRetrievalError ProfileNotFound"
        " NoAuthTokenError TokenRetrievalError UnknownCredentialError UnknownTokenProviderError"
        " RefreshWithMFAUnsupportedError SSOError LoginError InfiniteLoopConfigError"
    ),
    Corrupt: (
        "IncompleteReadError IncompleteRead ChecksumError FlexibleChecksumError AwsChunkedWrapperError"
        " ContentLengthError UnseekableStreamError"
    ),
    InvalidKey: "ParamValidationError UnicodeEncodeError",
    NotSupported: (
        "MissingDependencyException MD5UnavailableError UnsupportedSignatureVersionError UnknownSignatureVersionError"
        " UnsupportedOutpostResourceError UnsupportedS3AccesspointConfigurationError UnsupportedS3ArnError"
        " UnsupportedS3ControlArnError UnsupportedS3ConfigurationError UnsupportedS3ControlConfigurationError"
        " UnsupportedServiceProtocolsError OperationNotPageableError EndpointVariantError"
    ),
    # Wrong configuration, or a client library that is broken: the message says which.
    StoreError: "BotoCoreError UndefinedModelAttributeError",
}

EXCEPTIONS: Final[dict[str, type[StoreError]]] = {
    name: cls for cls, names in _EXCEPTIONS.items() for name in names.split()
}
"""The class for each exception that is no answer of the service, by the name of the exception or of a base of it."""

EXPIRED: Final = frozenset(
    "ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired InvalidToken".split()
)
"""Codes that fresh credentials cure."""


def upstream() -> tuple[type[BaseException], ...]:
    """What the client may raise, for an ``except`` clause: an answer, a failed transfer, a wrong parameter."""
    import asyncio

    import aiohttp
    import botocore.exceptions as botocore
    from botocore.parsers import ResponseParserError

    return (
        StoreError,
        botocore.BotoCoreError,
        botocore.ClientError,
        botocore.UndefinedModelAttributeError,
        ResponseParserError,
        aiohttp.ClientError,
        asyncio.TimeoutError,  # its own class before Python 3.11
        OSError,
        UnicodeError,
    )


def for_code(code: str | None, status: int | None) -> type[StoreError]:
    """The class for an answer with this error code and HTTP status; a 403 is never NotFound."""
    if code is not None and code in CODES:
        return CODES[code]
    if status is None and code is not None and code.isdecimal():
        status = int(code)
    if status is None:
        return StoreError
    return STATUSES.get(status, Unavailable if status >= 500 else StoreError)


def translate(
    error: BaseException, *, operation: str, bucket: str, key: str | None = None, create: bool = False
) -> StoreError:
    """The StoreError for what a client raised; ``create``: a condition that failed means that an object exists."""
    if isinstance(error, StoreError):
        return error
    cause = error
    response = getattr(error, "response", None)
    # s3fs hides the service's answer behind an OSError of its own and keeps it as the cause.
    while not isinstance(response, dict) and cause.__cause__ is not None:
        cause = cause.__cause__
        response = getattr(cause, "response", None)
    if not isinstance(response, dict):
        return _for_exception(error)(_detail(error), operation=operation, bucket=bucket, key=key)
    fields = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    code = str(fields.get("Code", "")) or None
    cls = for_code(code, metadata.get("HTTPStatusCode"))
    if cls is PreconditionFailed and create:
        cls = AlreadyExists
    headers = metadata.get("HTTPHeaders", {})
    return cls(
        str(fields.get("Message", "")),
        operation=operation,
        bucket=bucket,
        key=key,
        code=code,
        request_id=metadata.get("RequestId") or headers.get("x-amz-request-id") or fields.get("RequestId"),
    )


def _for_exception(error: BaseException) -> type[StoreError]:
    for base in type(error).__mro__:
        if base.__name__ in EXCEPTIONS:
            return EXCEPTIONS[base.__name__]
    return StoreError


def _detail(error: BaseException) -> str:
    return str(error) or type(error).__name__
