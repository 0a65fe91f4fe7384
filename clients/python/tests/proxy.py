"""A TCP proxy that cuts a connection at a chosen byte of a chosen HTTP/2 frame."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

PREFACE_BYTES = 24
FRAME_HEADER_BYTES = 9
UP, DOWN = "to the service", "to the client"
PARTS: dict[str, Callable[[int], int]] = {
    "before": lambda _: 0,
    "after the header": lambda _: FRAME_HEADER_BYTES,
    "in the middle": lambda size: (FRAME_HEADER_BYTES + size) // 2,
    "before the last byte": lambda size: size - 1,
}
"""The number of bytes of a frame that pass, by the size of the frame."""


@dataclass(frozen=True)
class Cut:
    """Where to cut: the frame's number in its direction, from 0, and the part of it that passes."""

    direction: str
    frame: int
    part: str


class Proxy:
    """Forwards connections. It cuts once; after that it forwards everything, or refuses it with `for_good`."""

    def __init__(self, target: tuple[str, int], cut: Cut | None = None, *, for_good: bool = False) -> None:
        self._target, self._cut, self._for_good = target, cut, for_good
        self.was_cut = False
        self.frames: Counter[str] = Counter()
        """The number of frames that passed, by direction."""
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._silent: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._spawn(self._accept)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        # Only a shutdown wakes a thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close(self._sockets)
        for thread in self._threads:
            thread.join()

    def break_all(self) -> None:
        """Cuts the connections that are open now."""
        with self._lock:
            self._close(self._sockets)

    def silence_all(self) -> None:
        """From now on, the connections that are open carry nothing, as if the other machine were gone."""
        with self._lock:
            self._silent.update(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.was_cut and self._for_good:
                    client.close()
                    continue
                service = socket.create_connection(self._target)
                self._sockets += (client, service)
            self._spawn(self._forward, client, service, UP)
            self._spawn(self._forward, service, client, DOWN)

    def _forward(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError, EOFError):
            if direction == UP:
                sink.sendall(read(source, PREFACE_BYTES))
            while True:
                header = read(source, FRAME_HEADER_BYTES)
                frame = header + read(source, int.from_bytes(header[:3], "big"))
                if self._is_cut_at(direction, len(frame), frame, sink):
                    break
                if sink in self._silent:
                    continue
                sink.sendall(frame)
        self._close([source, sink])

    def _is_cut_at(self, direction: str, size: int, frame: bytes, sink: socket.socket) -> bool:
        with self._lock:
            number = self.frames[direction]
            self.frames[direction] += 1
            cut = self._cut
            if self.was_cut or cut is None or (cut.direction, cut.frame) != (direction, number):
                return False
            self.was_cut = True
            sink.sendall(frame[: PARTS[cut.part](size)])
            return True

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _close(sockets: list[socket.socket]) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def read(source: socket.socket, size: int) -> bytes:
    """Exactly this number of bytes."""
    parts = []
    while size > 0:
        part = source.recv(min(size, 65_536))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
