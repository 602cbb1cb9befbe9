"""One published file from the net, whole and checked or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = (5, 60)  # to connect, and between two pieces of the answer
RETRIES = 2
CHUNK_BYTES = 1 << 20


def download(url: str, sha256: str, path: Path) -> None:
    """Fetch `url` to `path`; one that breaks off is tried again.

    Raises:
        ConnectionError: no answer, or one that breaks off again and again.
        ValueError: another file than the published one; names both checksums.
    """
    import pooch
    from requests import ConnectionError as NoConnection
    from requests import RequestException

    get = pooch.HTTPDownloader(chunk_size=CHUNK_BYTES, timeout=TIMEOUT_SECONDS)

    def once(*asked: Any, **options: Any) -> Any:
        try:
            return get(*asked, **options)
        except NoConnection as error:  # pooch would try again, and nobody is there
            raise ConnectionError(error) from error

    pooch.get_logger().setLevel("WARNING")
    pool = pooch.create(
        path.parent,
        base_url="",
        registry={path.name: f"sha256:{sha256}"},
        urls={path.name: url},
        retry_if_failed=RETRIES,
    )
    try:
        pool.fetch(path.name, downloader=once)
    except RequestException as error:
        raise ConnectionError(error) from error
