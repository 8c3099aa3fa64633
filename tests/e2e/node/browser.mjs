// One Chromium for many orders. Prints {"port": N}, the port of a blank page of its own, which gates serve as theirs and
// which is a foreign page otherwise. Each line of input is an order, each line of output the answer to one:
// {"id", "open": url, "cookies": [{name, value, url}], "trusts": whoever it meets over TLS, "steps": [step…]}
//   -> {"id", "results": [one for each step]}
// An order has a context of its own, so that cookies do not meet. Its steps run in the page, one after another:
//   {"sockets": [{"url", "protocols", "send": [text…], "bytes": size of a random message, "until": messages, "wait": ms}…]}, all at once
//   {"fetch": {"url", "options"}}   {"evaluate": expression}   {"wait": expression, "ms"}   {"click": selector}   {"fill": [selector, text]}
//   {"arrive": address, or a pattern of it}   {"aside": {"open": url, "steps": [step…]}}   {"jar": url whose cookies to show}
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP rebound.example 127.0.0.1",
];

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const pages = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/html", "cache-control": "no-store" });
  response.end('<!doctype html><link rel="icon" href="data:,"><title>blank</title>');
});

// What follows runs in the page: it is what an application's own script would see.
const socket = (order) => new Promise((resolve) => {
  const events = [];
  const started = performance.now();
  let messages = 0;
  const socket = new WebSocket(order.url, order.protocols ?? []);
  const finish = () => { clearTimeout(deadline); socket.onclose = null; resolve(events); };
  const deadline = setTimeout(() => { events.push({ event: "deadline" }); socket.close(); finish(); }, order.wait ?? 10000);
  socket.onopen = () => {
    events.push({ event: "open", protocol: socket.protocol, extensions: socket.extensions });
    for (const text of order.send ?? []) socket.send(text);
    // Random, or compression would make a small message of it.
    if (order.bytes) socket.send(crypto.getRandomValues(new Uint8Array(order.bytes)));
  };
  socket.onmessage = ({ data }) => {
    messages += 1;
    events.push({ event: "message", text: typeof data === "string" ? data : `${data.size} bytes` });
    if (order.until && messages >= order.until) socket.close(1000, "enough");
  };
  socket.onerror = () => events.push({ event: "error" });
  socket.onclose = ({ code, reason, wasClean }) => {
    events.push({ event: "close", code, reason, clean: wasClean, ms: Math.round(performance.now() - started) });
    finish();
  };
});

const get = async ({ url, options }) => {
  try {
    const response = await fetch(url, options);
    return { type: response.type, status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() };
  } catch (error) {
    return { error: error.name };
  }
};

// The page's own policy may forbid it to evaluate strings, so that it is asked from outside.
async function until(page, expression, ms) {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await page.waitForTimeout(20)) {
    if (await page.evaluate(expression)) return true;
  }
  throw new Error(`${ms} ms passed without ${expression}`);
}

// In another tab of the same browser.
async function aside(page, { open, steps }) {
  const tab = await page.context().newPage();
  try {
    tab.setDefaultTimeout(10000);
    await tab.goto(open, { waitUntil: "load" });
    const results = [];
    for (const step of steps) results.push(await take(tab, step));
    return results;
  } finally {
    await tab.close();
  }
}

async function take(page, step) {
  if (step.sockets) return Promise.all(step.sockets.map((order) => page.evaluate(socket, order)));
  if (step.fetch) return page.evaluate(get, step.fetch);
  if (step.evaluate) return page.evaluate(step.evaluate);
  if (step.wait) return until(page, step.wait, step.ms ?? 10000);
  if (step.click) return page.click(step.click).then(() => true);
  if (step.arrive) return page.waitForURL(step.arrive).then(() => page.url());
  if (step.aside) return aside(page, step.aside);
  if (step.jar) return page.context().cookies(step.jar);
  if (step.fill) return page.fill(...step.fill).then(() => true);
  throw new Error(`no step: ${JSON.stringify(step)}`);
}

async function carryOut(browser, order) {
  const context = await browser.newContext({ ignoreHTTPSErrors: order.trusts ?? false });
  try {
    if (order.cookies) await context.addCookies(order.cookies);
    const page = await context.newPage();
    page.setDefaultTimeout(10000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    const answer = await page.goto(order.open, { waitUntil: "load" });
    const results = [];
    for (const step of order.steps) results.push(await take(page, step));
    return { status: answer?.status() ?? null, results, problems };
  } finally {
    await context.close();
  }
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: ARGS });
createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const order = JSON.parse(line);
    try {
      say({ id: order.id, ...(await carryOut(browser, order)) });
    } catch (error) {
      say({ id: order.id, failed: error.message });
    }
  })
  .on("close", async () => { await browser.close(); process.exit(0); });
pages.listen(0, "127.0.0.1", () => say({ port: pages.address().port }));
