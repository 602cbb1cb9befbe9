"""A studio on a real port of this computer, with a tiny untrained model."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx


@contextmanager
def running(run, folder, name="tiny", password=None):
    """Address of a studio that runs while the block does."""
    import anyio

    from facegen.studio.model_process import ModelProcess
    from facegen.studio.server import Door, build_app, server_of

    # anyio loads its parts when they are first used, and pytest rewrites them then: deep in a server's thread
    # Python 3.11 fails at that now and then ("AST constructor recursion depth mismatch").
    for part in dir(anyio):
        getattr(anyio, part)
    with socket.socket() as listener, ModelProcess(run, "cpu") as model:
        listener.bind(("127.0.0.1", 0))
        door = Door(password, listener.getsockname()[1], own_host=password is None)
        server = server_of(build_app(model, name, folder, door))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_for(url)
            yield url
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive(), "the studio goes on after its end"


def _wait_for(url):
    for _ in range(200):
        try:
            if httpx.get(url, timeout=5).status_code in (200, 401):
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(url)
