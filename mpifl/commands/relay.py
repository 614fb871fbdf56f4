"""What ranks print, shown on a terminal: the status of the run as a drawing, lines above it."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from rich.text import Text

from mpifl.commands.live import Drawing
from mpifl.commands.status_view import StatusView
from mpifl.record.status import FINAL, MARK, Status, parse_status
from mpifl.record.wording import clock_text

DRAW_SECONDS = 0.5
"""How often it is drawn anew when nothing comes: the wall clock goes on."""

END_SECONDS = 5.0
"""How long the end waits for a terminal that takes nothing (Ctrl-S)."""

READ_BYTES = 1 << 16

LEFT_OUT = b"NBC_Progress: an error "
"""The beginning of a line that Open MPI prints on each rank when a collective fails after a loss.

An empty line follows it. Both are left out, as mpifl reports the loss itself."""


class Relay:
    """Shows what comes through a pipe, from a thread, until its end.

    A line that begins with MARK is a status. The drawing goes when the run has ended, as the
    closing lines say all that it says; of a run that was stopped or has failed it stays.
    """

    def __init__(self, pipe: int) -> None:
        self.drawing = Drawing()
        self._pipe = pipe
        self._began = time.monotonic()
        self._status: Status | None = None
        self._came = self._began
        self._rest = b""
        self._left_out = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait until all is shown that ranks have printed."""
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        """Show what comes; in the thread. Whatever happens here, ranks never wait for a reader."""
        try:
            self._show_all()
        finally:
            while more := os.read(self._pipe, READ_BYTES):
                os.write(sys.stdout.fileno(), more)

    def _show_all(self) -> None:
        more = b"begin"
        while more:
            self._draw()
            if select.select([self._pipe], [], [], DRAW_SECONDS)[0]:
                more = os.read(self._pipe, READ_BYTES)
                self._take(more)

        if self._rest:
            self.drawing.line(self._rest.decode(errors="replace"))
        if self._status is None:
            self.drawing.erase()
        self.drawing.leave()

    def _take(self, more: bytes) -> None:
        """Show the lines that are whole now."""
        *lines, self._rest = (self._rest + more).split(b"\n")
        for line in lines:
            before, self._left_out = self._left_out, line.startswith(LEFT_OUT)
            if self._left_out or (before and not line.strip()):
                continue
            text, mark, record = line.partition(MARK.encode())
            if text or not mark:
                self.drawing.line(text.decode(errors="replace").rstrip("\r"))
            if mark:
                self._note(parse_status(record))

    def _note(self, status: Status | None) -> None:
        """Take a status; the last of a run ends the drawing."""
        if status is None:
            return
        self._status = status
        self._came = time.monotonic()
        if status.state == "ended":
            self.drawing.erase()
        elif status.state in FINAL:
            self.drawing.show(StatusView(status))
            self.drawing.leave()

    def _draw(self) -> None:
        now = time.monotonic()
        status = self._status
        if status is None:
            self.drawing.show(Text(f"starting, {clock_text(now - self._began)}"))
        elif status.state not in FINAL:
            self.drawing.show(StatusView(status, now - self._came))
