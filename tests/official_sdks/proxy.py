"""The test kit's proxy, and addresses that lead through it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from hubbub.testing import FaultProxy


class CuttingProxy(FaultProxy):
    """`delay_s`: every piece of data waits this long."""

    def __init__(
        self, target_url: str, *, cut_after: Sequence[int] = (), delay_s: float = 0
    ) -> None:
        super().__init__(target_url, cut_after=cut_after)
        self.delay_s = delay_s
        self._target = urlsplit(target_url).port

    def through(self, text: str) -> str:
        """An address or a connection string that leads through the proxy."""
        return text.replace(f":{self._target}", f":{self.port}")
