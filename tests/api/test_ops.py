"""Operations: alive, ready, figures, log, reload, gentle stop."""

from __future__ import annotations

from tests.api.process import Server


def test_alive_and_ready(running: Server) -> None:
    assert running.get("/healthz").json() == {"status": "ok"}
    ready = running.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["layers"] > 40
