"""
What can go wrong, in three families, each translated once.

- :class:`S3Error` is an answer to a client: a code and a status of S3's own.
- :class:`StoreError` is the ledger's trouble; every one reaches a client as a 503.
- :class:`BackendError` is one backend's trouble; its text never reaches a client.

Codes and statuses are those of the S3 API reference, "Error responses", except
``InsufficientStorage``, which is this product's answer for "no backend has room".
"""

from __future__ import annotations

from collections.abc import Mapping


class S3Error(Exception):
    """
    An answer that the client sees as S3 XML.

    :cvar code: The S3 error code.
    :cvar status: The HTTP status.
    :ivar message: One sentence: what is wrong, where, and what to do.
    :ivar fields: More elements for the XML document (``Region``, ``ServerTime`` …).
    :ivar headers: More headers for the answer (``Content-Range``, ``Retry-After`` …).
    """

    code = "InternalError"
    status = 500
    default_message = "We encountered an internal error. Please try again."

    def __init__(
        self,
        message: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message if message is not None else self.default_message
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})
        super().__init__(self.message)


class AccessDenied(S3Error):
    """403: the request is not signed, or not allowed."""

    code, status, default_message = "AccessDenied", 403, "Access Denied."


class AccessForbidden(S3Error):
    """403: the bucket's cross-origin rules do not allow what a preflight asks for."""

    code, status = "AccessForbidden", 403
    default_message = "CORSResponse: This CORS request is not allowed."


class AuthorizationHeaderMalformed(S3Error):
    """400: the Authorization header lacks a part or has a wrong scope."""

    code, status = "AuthorizationHeaderMalformed", 400
    default_message = "The authorization header that you provided is not valid."


class AuthorizationQueryParametersError(S3Error):
    """400: a presigned URL lacks a parameter or has a wrong one."""

    code, status = "AuthorizationQueryParametersError", 400
    default_message = "The query-string authentication parameters are not valid."


class BadDigest(S3Error):
    """400: a Content-MD5 or checksum does not match the body."""

    code, status = "BadDigest", 400
    default_message = "The digest that you specified did not match what we received."


class BadRequest(S3Error):
    """400: a preflight that asks nothing."""

    code, status, default_message = "BadRequest", 400, "Bad request."


class BucketAlreadyExists(S3Error):
    """409: the bucket that was to be made is another's."""

    code, status = "BucketAlreadyExists", 409
    default_message = (
        "The requested bucket name is not available. Please select a different name "
        "and try again."
    )


class BucketAlreadyOwnedByYou(S3Error):
    """409: the bucket that was to be made is there."""

    code, status = "BucketAlreadyOwnedByYou", 409
    default_message = (
        "The bucket that you tried to create already exists, and you own it."
    )


class BucketNotEmpty(S3Error):
    """409: the bucket that was to be deleted has objects."""

    code, status = "BucketNotEmpty", 409
    default_message = "The bucket that you tried to delete is not empty."


class EntityTooLarge(S3Error):
    """400: the body is larger than ``server.max_object_size``."""

    code, status = "EntityTooLarge", 400
    default_message = "Your proposed upload exceeds the maximum allowed object size."


class EntityTooSmall(S3Error):
    """400: a part that is not the last is under 5 MiB, or a file under its policy's."""

    code, status = "EntityTooSmall", 400
    default_message = (
        "Your proposed upload is smaller than the minimum allowed object size."
    )


class ExpiresOutOfRange(AuthorizationQueryParametersError):
    """403: a presigned URL is meant to live for no time, or too long."""

    status = 403


class IllegalLocationConstraintException(S3Error):
    """400: a bucket was to be made in a region that is not this one."""

    code, status = "IllegalLocationConstraintException", 400
    default_message = (
        "The specified location constraint is incompatible for the region specific "
        "endpoint this request was sent to."
    )


class IncompleteBody(S3Error):
    """400: the body ended before its declared length."""

    code, status = "IncompleteBody", 400
    default_message = (
        "You did not provide the number of bytes specified by Content-Length."
    )


class InsufficientStorage(S3Error):
    """507: no backend has room for the object."""

    code, status = "InsufficientStorage", 507
    default_message = "No backend has room for this object."


class InternalError(S3Error):
    """500: our fault."""


class InvalidAccessKeyId(S3Error):
    """403: no such access key."""

    code, status = "InvalidAccessKeyId", 403
    default_message = "The access key ID that you provided does not exist here."


class InvalidArgument(S3Error):
    """400: a parameter or header has a value that S3 does not allow."""

    code, status, default_message = "InvalidArgument", 400, "Invalid argument."


class InvalidBucketName(S3Error):
    """400: no bucket can have this name."""

    code, status = "InvalidBucketName", 400
    default_message = "The specified bucket is not valid."


class InvalidChunkSizeError(S3Error):
    """400: a chunk of an aws-chunked body is too small and not the last."""

    code, status = "InvalidChunkSizeError", 400
    default_message = (
        "Only the last chunk is allowed to have a size less than 8192 bytes."
    )


class InvalidDigest(S3Error):
    """400: Content-MD5 is not the base64 of 16 bytes."""

    code, status = "InvalidDigest", 400
    default_message = "The Content-MD5 that you specified is not valid."


class InvalidLocationConstraint(S3Error):
    """400: a bucket was to be made in a region that there is not."""

    code, status = "InvalidLocationConstraint", 400
    default_message = "The specified location constraint is not valid."


class InvalidPart(S3Error):
    """400: a part of the list was not uploaded, or has another ETag."""

    code, status = "InvalidPart", 400
    default_message = (
        "One or more of the specified parts could not be found. The part may not have "
        "been uploaded, or the specified ETag may not match the part's ETag."
    )


class InvalidPartNumber(S3Error):
    """416: the object has no such part."""

    code, status = "InvalidPartNumber", 416
    default_message = "The requested part number is not satisfiable."


class InvalidPartOrder(S3Error):
    """400: the list of parts does not ascend."""

    code, status = "InvalidPartOrder", 400
    default_message = "The list of parts was not in ascending order by part number."


class InvalidPolicyDocument(S3Error):
    """400: the policy of a form cannot be read."""

    code, status = "InvalidPolicyDocument", 400
    default_message = (
        "The content of the form does not meet the conditions specified in the policy "
        "document."
    )


class InvalidRange(S3Error):
    """416: the range starts past the end of the object."""

    code, status = "InvalidRange", 416
    default_message = "The requested range is not satisfiable."


class InvalidRequest(S3Error):
    """400: headers that contradict each other, or a form that is not served."""

    code, status, default_message = "InvalidRequest", 400, "Invalid request."


class InvalidURI(S3Error):
    """400: the request target cannot be parsed."""

    code, status = "InvalidURI", 400
    default_message = "Could not parse the specified URI."


class InvalidTag(S3Error):
    """400: a tag that S3 does not take, a key that is there twice, or too many."""

    code, status, default_message = "InvalidTag", 400, "The tag provided is not valid."


class KeyTooLongError(S3Error):
    """400: the key is longer than 1024 bytes of UTF-8."""

    code, status, default_message = "KeyTooLongError", 400, "Your key is too long."


class MalformedPOSTRequest(S3Error):
    """400: the body is no form, or one that cannot be taken."""

    code, status = "MalformedPOSTRequest", 400
    default_message = (
        "The body of your POST request is not well-formed multipart/form-data."
    )


class MalformedTrailerError(S3Error):
    """400: what follows the last chunk is not what was announced."""

    code, status = "MalformedTrailerError", 400
    default_message = (
        "The request contained trailing data that was not well-formed or did not "
        "conform to our published schema."
    )


class MalformedXML(S3Error):
    """400: the document is not what the operation takes."""

    code, status = "MalformedXML", 400
    default_message = (
        "The XML you provided was not well-formed or did not validate against our "
        "published schema."
    )


class MaxPostPreDataLengthExceeded(S3Error):
    """400: the fields of a form are too large or too many."""

    code, status = "MaxPostPreDataLengthExceeded", 400
    default_message = (
        "Your POST request fields preceding the upload file were too large."
    )


class MetadataTooLarge(S3Error):
    """400: user metadata exceeds 2 KiB."""

    code, status = "MetadataTooLarge", 400
    default_message = "Your metadata headers exceed the maximum allowed metadata size."


class MethodNotAllowed(S3Error):
    """405: the resource does not know this method."""

    code, status = "MethodNotAllowed", 405
    default_message = "The specified method is not allowed against this resource."


class MissingContentLength(S3Error):
    """411: a PUT needs a length."""

    code, status = "MissingContentLength", 411
    default_message = "You must provide the Content-Length HTTP header."


class NoSuchBucket(S3Error):
    """404: this bucket is not served here."""

    code, status = "NoSuchBucket", 404
    default_message = "The specified bucket does not exist."


class NoSuchCORSConfiguration(S3Error):
    """404: the bucket has no cross-origin rules."""

    code, status = "NoSuchCORSConfiguration", 404
    default_message = "The CORS configuration does not exist."


class NoSuchKey(S3Error):
    """404: no object has this key."""

    code, status = "NoSuchKey", 404
    default_message = "The specified key does not exist."


class NoSuchTagSet(S3Error):
    """404: the bucket has no tags."""

    code, status, default_message = "NoSuchTagSet", 404, "The TagSet does not exist."


class NoSuchUpload(S3Error):
    """404: no such upload: never made, completed, or aborted."""

    code, status = "NoSuchUpload", 404
    default_message = (
        "The specified multipart upload does not exist. The upload ID might be "
        "invalid, or the multipart upload might have been aborted or completed."
    )


class NoSuchVersion(S3Error):
    """404: objects have one version here, and its id is ``null``."""

    code, status = "NoSuchVersion", 404
    default_message = "The specified version does not exist."


class NotConfigured(S3Error):
    """404: a setting that buckets may have and this one has not; each has a code."""

    status = 404

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotImplementedYet(S3Error):
    """501: S3 knows this, this server does not."""

    code, status = "NotImplemented", 501
    default_message = "This functionality is not implemented here."


class OperationAborted(S3Error):
    """409: something else has to end first; try again."""

    code, status = "OperationAborted", 409
    default_message = (
        "A conflicting conditional operation is currently in progress against this "
        "resource. Try again."
    )


class PreconditionFailed(S3Error):
    """412: an If-… header did not hold."""

    code, status = "PreconditionFailed", 412
    default_message = (
        "At least one of the preconditions that you specified did not hold."
    )


class RequestHeaderSectionTooLarge(S3Error):
    """400: the header section is too large."""

    code, status = "RequestHeaderSectionTooLarge", 400
    default_message = "Your request header section exceeds the maximum allowed size."


class RequestTimeout(S3Error):
    """400: the client was silent for too long."""

    code, status = "RequestTimeout", 400
    default_message = (
        "Your socket connection was not read from or written to within the timeout."
    )


class RequestTimeTooSkewed(S3Error):
    """403: the request was signed more than 15 minutes away from now."""

    code, status = "RequestTimeTooSkewed", 403
    default_message = (
        "The difference between the request time and the server's time is too large."
    )


class ServiceUnavailable(S3Error):
    """503: a part that is needed cannot be reached; try again."""

    code, status = "ServiceUnavailable", 503
    default_message = "Please try again."


class SignatureDoesNotMatch(S3Error):
    """403: the signature is not the one that we calculated."""

    code, status = "SignatureDoesNotMatch", 403
    default_message = (
        "The request signature that we calculated does not match the signature that "
        "you provided. Check your secret access key and signing method."
    )


class SlowDown(S3Error):
    """503: too much at once; try again later."""

    code, status, default_message = "SlowDown", 503, "Please reduce your request rate."


class TooManyRequests(SlowDown):
    """429: one client sends more requests than ``rate_limit`` allows."""

    status = 429


class BudgetSpent(SlowDown):
    """429: every backend that has the bytes has used its budget of this month up."""

    status = 429
    default_message = (
        "The usage budget of this month is used up on every backend that holds this "
        "object. It begins anew on the first of the month, UTC; raise backends[].usage "
        "to read it before."
    )


class XAmzContentSHA256Mismatch(S3Error):
    """400: the body is not what x-amz-content-sha256 says."""

    code, status = "XAmzContentSHA256Mismatch", 400
    default_message = (
        "The provided x-amz-content-sha256 header does not match what was computed."
    )


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


class StoreError(Exception):
    """The ledger could not do, or could not confirm, what was asked."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, or refused; **nothing was committed**."""


class OutcomeUnknown(StoreError):
    """
    The connection broke around a COMMIT: the transaction may or may not stand.

    Read the row on a fresh connection (:meth:`~s3proxy.manager.ports.Ledger.settle`).
    """


class ClaimLost(StoreError):
    """The claim is no longer ``claimed``: its lease ran out and it was abandoned."""


class BackendError(Exception):
    """
    One call to one backend failed.

    :ivar backend: The backend's configured name.
    :ivar landed: Whether a complete body may be stored there all the same: false
        only when the last byte was certainly never sent.
    """

    def __init__(self, backend: str, reason: str, *, landed: bool = True) -> None:
        self.backend = backend
        self.reason = reason
        self.landed = landed
        super().__init__(f"backend {backend}: {reason}")


class BackendUnavailable(BackendError):
    """No answer, a broken one, a time-out, a 5xx or 429: another try may work."""


class BackendThrottled(BackendUnavailable):
    """
    429, SlowDown and the like: it works, and wants to be asked less often.

    :ivar retry_after_seconds: What it says of when, or None.
    """

    def __init__(
        self,
        backend: str,
        reason: str,
        *,
        landed: bool = True,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(backend, reason, landed=landed)
        self.retry_after_seconds = retry_after_seconds


class BackendPassing(BackendUnavailable):
    """A 4xx that another try may mend: a stale connection, a conflict."""


class BackendBusy(BackendUnavailable):
    """All places for calls are taken, here: it says nothing of the backend."""


class BackendSpent(BackendBusy):
    """
    Its usage budget of this month is used up: the call was not made, so ``landed`` is
    false.
    """

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(backend, reason, landed=False)


class BackendRefused(BackendError):
    """
    A 4xx other than a missing key, or a 501: wrong credentials, no such bucket, a call
    that it does not know.
    """


class BackendFull(BackendError):
    """The backend says that it has no room (507, QuotaExceeded, ENOSPC)."""


class BackendMissing(BackendError):
    """404 with code NoSuchKey (or a bare 404 to a HEAD): the key is not there."""


class BackendMismatch(BackendError):
    """The answer's ETag or length is not that of the bytes sent or recorded."""


class ConfigError(Exception):
    """
    The configuration is wrong.

    The text begins with the path of the key and says what was expected:
    ``backends[1].quota_bytes: want a whole number of bytes, got '20GB'``.
    """
