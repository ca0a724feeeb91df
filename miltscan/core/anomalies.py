"""What may be odd about a message, its zips, its S/MIME and the names in it: closed names, for conditions and metrics.

They stand apart from the readers that find them, which need much memory and are not loaded by every process. Pure.
"""

from enum import StrEnum

from miltscan.core.mime.closed import Anomaly


class ZipAnomaly(StrEnum):
    """What a plain zip does not have. Everyday archives have some of them: none is a reason to refuse mail."""

    NO_DIRECTORY = "zip-no-directory"
    NO_END = "zip-no-end"
    JOINED = "zip-joined"
    DIRECTORY_DIFFERS = "zip-directory-differs"
    DATA_BEFORE = "zip-data-before"
    DATA_AFTER = "zip-data-after"
    TRUNCATED = "zip-truncated"
    HIDDEN_MEMBER = "zip-hidden-member"
    LOCAL_MISSING = "zip-local-missing"
    OFFSET_WRONG = "zip-offset-wrong"
    OVERLAP = "zip-overlap"
    METHOD_UNKNOWN = "zip-method-unknown"
    METHOD_DIFFERS = "zip-method-differs"
    SIZE_DIFFERS = "zip-size-differs"
    NAME_DIFFERS = "zip-name-differs"
    FLAGS_DIFFER = "zip-flags-differ"


class CmsAnomaly(StrEnum):
    """What a plain CMS message does not have."""

    TRUNCATED = "cms-truncated"
    LENGTH_DIFFERS = "cms-length-differs"
    PIECE_STRANGE = "cms-piece-strange"
    DATA_BROKEN = "cms-data-broken"


class AttachmentAnomaly(StrEnum):
    """What is odd about attachments; with what is odd about the structure, the values of the condition `anomaly`.

    `FILES_UNSEEN`: a bound was met, so that rules do not see all files of the message.
    """

    DOUBLE_EXTENSION = "double-extension"
    TYPE_DIFFERS = "type-differs"
    FILES_UNSEEN = "files-unseen"


ANOMALIES = (*Anomaly, *ZipAnomaly, *CmsAnomaly, *AttachmentAnomaly)
"""All of them."""
