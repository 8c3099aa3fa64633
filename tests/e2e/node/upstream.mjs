// A Node `ws` app behind the gate: permessage-deflate on every message, fragments, pings. Prints {"port": N}, then one
// JSON line for each thing that it saw.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { pattern } from "./pattern.mjs";

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const server = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/plain" });
  response.end("node");
});
const sockets = new WebSocketServer({
  server,
  maxPayload: 256 * 1024 * 1024,
  perMessageDeflate: { threshold: 0, zlibDeflateOptions: { level: 1 } },
});

const sha = (data) => createHash("sha256").update(data).digest("hex");

function sendFragmented(socket, data, piece) {
  for (let at = 0; at < data.length; at += piece) {
    socket.send(data.subarray(at, at + piece), { binary: true, fin: at + piece >= data.length });
  }
}

sockets.on("connection", (socket, request) => {
  const url = new URL(request.url, "http://x");
  const param = (name, fallback) => url.searchParams.get(name) ?? fallback;
  say({ event: "open", path: url.pathname, extensions: socket.extensions });
  socket.on("close", (code, reason) => say({ event: "closed", path: url.pathname, code, reason: reason.toString() }));
  socket.on("error", (error) => say({ event: "error", path: url.pathname, message: error.message }));
  socket.on("pong", (data) => say({ event: "pong", data: data.toString() }));
  socket.on("ping", (data) => say({ event: "ping", data: data.toString() }));
  if (url.pathname === "/echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  } else if (url.pathname === "/echo-fragmented") {
    const piece = Number(param("piece", 65536));
    socket.on("message", (data) => sendFragmented(socket, data, piece));
  } else if (url.pathname === "/hash") {
    socket.on("message", (data) => socket.send(JSON.stringify({ bytes: data.length, sha: sha(data) })));
  } else if (url.pathname === "/send") {
    const data = pattern(Number(param("bytes", 64)));
    const piece = Number(param("piece", 0));
    if (piece) sendFragmented(socket, data, piece);
    else socket.send(data);
    socket.on("message", (text) => text.toString() === "done" && socket.close(1000, "sent"));
  } else if (url.pathname === "/ping") {
    socket.on("message", (data) => socket.ping(data));
  } else if (url.pathname === "/close") {
    socket.close(Number(param("code", 1000)), param("reason", ""));
  } else if (url.pathname === "/terminate") {
    socket.on("message", () => socket.terminate());
  } else if (url.pathname === "/flood") {
    // Keeps the socket full until the client leaves: a server that talks to a slow reader.
    const data = pattern(64 * 1024);
    const total = Number(param("bytes", 64 * 1024 * 1024));
    let sent = 0;
    const more = () => {
      while (sent < total && socket.bufferedAmount < 1024 * 1024 && socket.readyState === 1) {
        sent += data.length;
        socket.send(data, { compress: false }, more);
      }
      if (sent >= total && socket.bufferedAmount === 0 && socket.readyState === 1) {
        say({ event: "flooded", bytes: sent });
        socket.close(1000, "flooded");
      }
    };
    more();
  }
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
