// One WebSocket from Node, told by a JSON argument, answered by one JSON line.
// {"kind": "ws"|"native", "url", "headers", "protocols", "send": [text…], "bulk": {"sizes": [bytes…], "piece"}: messages,
//  each sent when the one before has come back, "until": messages to wait for, "close": code, "wait": ms, "ca": path, "compress": bool}
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import WsWebSocket from "ws";
import { pattern } from "./pattern.mjs";

const order = JSON.parse(process.argv[2]);
const events = [];
const note = (event) => events.push(event);
const sha = (data) => createHash("sha256").update(data).digest("hex");
let finished = false;
function finish() {
  if (finished) return;
  finished = true;
  process.stdout.write(JSON.stringify(events) + "\n", () => process.exit(0));
}
setTimeout(() => { note({ event: "deadline" }); finish(); }, order.wait ?? 10000);

function withWs() {
  const socket = new WsWebSocket(order.url, order.protocols ?? [], {
    headers: order.headers ?? {},
    ca: order.ca ? readFileSync(order.ca) : undefined,
    perMessageDeflate: order.compress === false ? false : { threshold: 0, zlibDeflateOptions: { level: 1 } },
    maxPayload: 256 * 1024 * 1024,
  });
  let messages = 0;
  const sizes = order.bulk?.sizes ?? [];
  let bulk = null;
  const sendBulk = () => {
    bulk = pattern(sizes.shift());
    const piece = order.bulk.piece || bulk.length || 1;
    for (let at = 0; at === 0 || at < bulk.length; at += piece) {
      socket.send(bulk.subarray(at, at + piece), { binary: true, fin: at + piece >= bulk.length });
    }
  };
  socket.on("upgrade", (response) => note({ event: "upgrade", status: response.statusCode, headers: response.headers }));
  socket.on("unexpected-response", (_request, response) => {
    const parts = [];
    response.on("data", (part) => parts.push(part));
    response.on("end", () => {
      note({ event: "refused", status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() });
      finish();
    });
  });
  socket.on("open", () => {
    note({ event: "open", protocol: socket.protocol, extensions: socket.extensions });
    for (const text of order.send ?? []) socket.send(text);
    if (sizes.length) sendBulk();
    if (order.close && !order.until) socket.close(order.close);
  });
  socket.on("message", (data, binary) => {
    messages += 1;
    if (data.length > 4096) note({ event: "message", binary, bytes: data.length, sha: sha(data), same: bulk ? data.equals(bulk) : data.equals(pattern(data.length)) });
    else note({ event: "message", binary, text: data.toString(), bytes: data.length, same: bulk ? data.equals(bulk) : data.equals(pattern(data.length)) });
    if (order.until && messages >= order.until) socket.close(order.close ?? 1000, "enough");
    else if (sizes.length) sendBulk();
  });
  socket.on("ping", (data) => note({ event: "ping", data: data.toString() }));
  socket.on("error", (error) => note({ event: "error", message: error.message }));
  socket.on("close", (code, reason) => { note({ event: "close", code, reason: reason.toString() }); finish(); });
}

function withNative() {
  const socket = new WebSocket(order.url, order.protocols ?? []);
  let messages = 0;
  socket.addEventListener("open", () => {
    note({ event: "open", protocol: socket.protocol });
    for (const text of order.send ?? []) socket.send(text);
  });
  socket.addEventListener("message", (event) => {
    messages += 1;
    note({ event: "message", text: String(event.data) });
    if (order.until && messages >= order.until) socket.close(order.close ?? 1000, "enough");
  });
  socket.addEventListener("error", () => {
    note({ event: "error" });
    // A refused handshake gives this client an error and nothing more; give a close event the time to prove the contrary.
    setTimeout(finish, 300);
  });
  socket.addEventListener("close", (event) => { note({ event: "close", code: event.code, reason: event.reason, clean: event.wasClean }); finish(); });
}

order.kind === "native" ? withNative() : withWs();
