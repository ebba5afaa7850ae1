"""The suite's subclasses are one for each store and server; this is what they share."""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers import Server


@dataclass(frozen=True)
class ServerBucket:
    """A bucket on a real server, through that server's own client."""

    server: Server
    bucket: str

    def put(self, key: str, data: bytes) -> None:
        self.server.put(self.bucket, key, data)

    def get(self, key: str) -> bytes | None:
        return self.server.get(self.bucket, key)

    def delete(self, key: str) -> None:
        self.server.delete(self.bucket, key)

    def uploads(self) -> list[str]:
        return self.server.uploads(self.bucket)
