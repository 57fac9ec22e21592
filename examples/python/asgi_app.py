"""A chat room over WebSocket, as an ASGI app on this program's own asyncio loop.

    python asgi_app.py https://tunnel.example.com TOKEN_FILE [CA_FILE]
"""
import asyncio
import sys
from typing import Any

import tunnel2

PAGE = b"""<!doctype html><input id=i><pre id=o></pre><script>
const s = new WebSocket(location.href.replace(/^http/, "ws"))
s.onmessage = m => o.textContent += m.data + "\\n"
i.onchange = () => { s.send(i.value); i.value = "" }
</script>"""

members: "set[Any]" = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": PAGE})
    elif scope["type"] == "websocket":
        await chat(receive, send)


async def chat(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    members.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text", "")
            await asyncio.gather(*(m({"type": "websocket.send", "text": text}) for m in list(members)),
                                 return_exceptions=True)
    finally:
        members.discard(send)


async def main(server: str, token_file: str, ca_file: "str | None" = None) -> None:
    async with tunnel2.serve_async(app, server=server, token_file=token_file, ca_file=ca_file) as t:
        print(t.url, flush=True)
        await t.wait_async()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
