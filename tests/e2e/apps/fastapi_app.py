"""A FastAPI app as people put behind a gate: HTTP, WebSocket (compression on), SSE, streams. Prints `{"port": N}`."""

import asyncio
import json
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

app = FastAPI(openapi_url=None)
gates: dict[str, asyncio.Event] = {}


def say(**event) -> None:
    print(json.dumps(event), flush=True)


def pairs(raw) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in raw]


@app.api_route("/headers/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def headers(request: Request, rest: str):
    body = await request.body()
    return {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.scope["query_string"].decode(),
        "headers": pairs(request.headers.raw),
        "body": body.decode("utf-8", "replace"),
    }


@app.get("/sse/{name}")
async def sse(name: str):
    """One event at once, the second only after POST /open/{name}."""
    gate = gates.setdefault(name, asyncio.Event())

    async def events():
        yield "id: 1\ndata: first\n\n"
        await gate.wait()
        yield "id: 2\ndata: last\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/open/{name}")
async def open_gate(name: str):
    gates.setdefault(name, asyncio.Event()).set()
    return Response(status_code=204)


async def mirror(scope, receive, send):
    """Sends every piece of the request body back as it comes; plain ASGI, for Starlette reads ahead for a disconnect."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


app.mount("/mirror", mirror)


@app.post("/count")
async def count(request: Request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return {"bytes": total}


@app.get("/download/{size}")
async def download(size: int):
    async def pieces():
        left = size
        while left:
            piece = min(left, 65536)
            yield b"d" * piece
            left -= piece

    return StreamingResponse(pieces(), media_type="application/octet-stream")


@app.get("/cookies")
async def cookies():
    answer = Response("cookies")
    answer.set_cookie("one", "1", httponly=True, path="/")
    answer.set_cookie("two", "2", samesite="strict", path="/cookies")
    return answer


@app.get("/redirect/absolute")
async def redirect_absolute():
    return RedirectResponse("https://elsewhere.example/there?x=1", status_code=302)


@app.get("/redirect/relative")
async def redirect_relative():
    return RedirectResponse("/headers/there", status_code=307)


@app.get("/status/{code}")
async def status(code: int):
    return JSONResponse({"status": code}, status_code=code, headers={"X-App": "mine"})


@app.get("/never")
async def never():
    await asyncio.Event().wait()


@app.websocket("/ws/echo")
async def ws_echo(socket: WebSocket):
    await socket.accept()
    say(event="open", path="/ws/echo")
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                say(event="closed", code=message.get("code"), reason=message.get("reason"))
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect as error:
        say(event="closed", code=error.code, reason=error.reason)


@app.websocket("/ws/headers")
async def ws_headers(socket: WebSocket):
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(subprotocol=offered[0] if offered else None)
    await socket.send_json({
        "path": socket.scope["raw_path"].decode(),
        "query": socket.scope["query_string"].decode(),
        "subprotocols": offered,
        "headers": pairs(socket.headers.raw),
    })
    await socket.close(1000, "told")


def main() -> None:
    unix = sys.argv[1] if len(sys.argv) > 1 else None
    if unix:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(unix)
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", ws_max_size=256 << 20, ws_per_message_deflate=True, proxy_headers=False)
    server = uvicorn.Server(config)

    async def serve() -> None:
        task = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.01)
        say(port=0 if unix else sock.getsockname()[1])
        await task

    asyncio.run(serve())


if __name__ == "__main__":
    main()
