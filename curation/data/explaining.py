"""What the error of a disk or a store says, without credentials, and what to do about it."""

import contextlib
import errno
import re
from collections.abc import Iterator

from curation.core.errors import ConfigError, ShardError

_STORES = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google")
_CREDENTIALS = re.compile(
    r"(?<=://)[^/@:\s]*:(?!\d+(?:/|$))[^@\s]*(?=@)"  # user:secret@, and no host:port
    r"|(?<=[?&])[^=&\s]*(?:sig|signature|token|secret|password)=[^&\s]*",
    re.IGNORECASE,
)
_ADVICE = {
    errno.ENOSPC: "Free some space or choose another output",
    errno.EDQUOT: "Free some of your quota or choose another output",
    errno.EFBIG: "Raise the limit on the size of files",
    errno.EIO: "Check the disk or the mount",
    errno.EACCES: "Check the permissions",
    errno.EPERM: "Check the permissions",
    errno.EROFS: "Choose an output that can be written",
    errno.ENAMETOOLONG: "Shorten the names of the input's folders and files",
}


@contextlib.contextmanager
def explaining(url: str, verb: str) -> Iterator[None]:
    """Turn an error of a disk or a store in the block into a ShardError that names the file and says what to do."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _STORES:
            raise
        what = f"{url}: cannot be {verb}: {why(url, error)}, then start the same command again."
        raise ShardError(what) from error


def why(url: str, error: Exception) -> str:
    """What an error of a disk or a store says, without credentials, and what to do about it."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{redacted(reason).rstrip('.')}. {_advice(url, error)}"


def _advice(url: str, error: Exception) -> str:
    if "://" not in url.removeprefix("file://"):
        return _ADVICE.get(getattr(error, "errno", None) or 0, "Check the path")
    if isinstance(error, FileNotFoundError | ConfigError):
        return "Check the path"
    if isinstance(error, PermissionError) or re.search("Credential|Profile|Token", type(error).__name__):
        return "Check the credentials that the environment or a profile gives here and to every worker"
    return "Check the endpoint and the network"


def redacted(text: str) -> str:
    """`text` with the credentials that a URL in it holds as "…"."""
    return _CREDENTIALS.sub("…", text)
