// Turns on one socket of openai-node, told by a JSON argument, answered by one JSON line.
// {"sdk": "openai"|"openai-6", "base", "key", "turns": [{response.create's fields}…], "tools": {name: output}, "wait": ms, "together": bool}
// `together` asks all turns at once, each on a lane of its own. Else a turn whose answer calls a function is followed by one with the function's output, chained by previous_response_id.
const order = JSON.parse(process.argv[2]);
const { default: OpenAI } = await import(order.sdk);
const { ResponsesWS } = await import(`${order.sdk}/resources/responses/ws`);

const TERMINALS = new Set(["response.completed", "response.failed", "response.incomplete", "error"]);
const events = [];
const finish = (end) => process.stdout.write(JSON.stringify({ events, end }) + "\n", () => process.exit(0));
setTimeout(() => finish("deadline"), order.wait ?? 15000);

const socket = new ResponsesWS(new OpenAI({ apiKey: order.key, baseURL: order.base, maxRetries: 0 }));
const waiting = [...order.turns];
let under_way = order.together ? waiting.length : 1;
// What is sent before the socket is open waits in the SDK's own queue.
for (const turn of waiting.splice(0, under_way)) socket.send({ type: "response.create", ...turn });
for await (const event of socket) {
  if (event.type === "error") { events.push({ failed: event.error?.message ?? String(event.error), told: event.error?.error ?? null }); break; }
  if (event.type === "close") { events.push({ closed: event.code, reason: event.reason }); break; }
  if (event.type !== "message") continue;
  const message = event.message;
  events.push(message);
  if (!TERMINALS.has(message.type)) continue;
  if (order.together) {
    if (--under_way === 0) break;
    continue;
  }
  const calls = (message.response?.output ?? []).filter((item) => item.type === "function_call");
  if (calls.length) {
    const input = calls.map((item) => ({ type: "function_call_output", call_id: item.call_id, output: order.tools[item.name] }));
    socket.send({ type: "response.create", model: message.response.model, input, tools: order.turns[0].tools, previous_response_id: message.response.id });
  } else if (waiting.length) {
    const next = waiting.shift();
    const chained = next.previous_response_id === "last" ? { previous_response_id: message.response.id } : {};
    socket.send({ type: "response.create", ...next, ...chained });
  } else break;
}
socket.close();
finish("done");
