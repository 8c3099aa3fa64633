// The demo page: an echo, a table of refusals, and a question to ask after a 1006. No dependencies.

const CONNECT_LIMIT_MS = 5_000;
const SESSION_LIMIT_MS = 5_000;
const IDLE_GUESS_S = 15;
const LOG_LINES = 200;

const WHAT_TO_DO = {
  refresh: "Get a new token and come back.",
  login: "Ask the person to sign in again.",
  retry: "Come back later, with backoff.",
  stop: "Stay away: trying again cannot help.",
};

const $ = (id) => document.getElementById(id);

function el(tag, { data, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, data);
  node.append(...children);
  return node;
}

async function getJson(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`GET ${path} answered ${response.status}`);
  return response.json();
}

const duration = (ms) => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- Recovery -------------------------------------------------------------------------------------------------

let refusals = [];

/** The row of the refusal table for what a close event said. One code may stand for several refusals; the reason tells them apart. */
function refusalFor(code, reason) {
  const sharing = refusals.filter((row) => row.close === code);
  return sharing.find((row) => row.refusal === reason) ?? sharing[0];
}

/** What a client should do after a close code; codes that the table does not know degrade by range. */
function recoveryFor(code, reason) {
  const known = refusalFor(code, reason);
  if (known) return known.recovery;
  const within = (low, high) => code >= low && code <= high;
  if (within(3000, 3499) || within(4000, 4499)) return "retry";
  if (within(3500, 3999) || within(4500, 4999)) return "stop";
  return null;
}

// ---- Sockets --------------------------------------------------------------------------------------------------

const BEARER = "portcullis.bearer.";

function bearerProtocol(token) {
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(String.fromCharCode(...bytes));
  return BEARER + base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function bearerToken(protocols) {
  const carried = protocols.find((protocol) => protocol.startsWith(BEARER));
  if (!carried) return null;
  const base64 = carried.slice(BEARER.length).replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}

function openSocket(path, protocols) {
  const url = new URL(path, location.origin);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url, protocols);
}

/**
 * Opens a socket and reports what script saw of its life. Some stacks never fire `close` after a refused
 * handshake, so both the handshake and the session have a deadline of their own; a socket that outlives one is
 * reported without a code.
 */
function attempt(path, protocols, { onOpen, onMessage, sessionMs = SESSION_LIMIT_MS } = {}) {
  return new Promise((resolve) => {
    const started = performance.now();
    const seen = { opened: false, code: null, reason: "", ms: 0 };
    const socket = openSocket(path, protocols);
    const finish = (event) => {
      clearTimeout(deadline);
      seen.ms = performance.now() - started;
      if (event) [seen.code, seen.reason] = [event.code, event.reason];
      resolve(seen);
    };
    const giveUp = () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      finish();
    };
    let deadline = setTimeout(giveUp, CONNECT_LIMIT_MS);
    socket.onopen = () => {
      seen.opened = true;
      clearTimeout(deadline);
      deadline = setTimeout(giveUp, sessionMs);
      onOpen?.(socket);
    };
    socket.onmessage = (event) => onMessage?.(socket, event.data);
    socket.onclose = finish;
  });
}

/** A socket that has proved its admission: `open` alone does not, since a refusal may follow it at once. */
function admitted(path, protocols) {
  return new Promise((resolve, reject) => {
    const socket = openSocket(path, protocols);
    const deadline = setTimeout(() => {
      socket.close();
      reject(new Error("no echo in time"));
    }, CONNECT_LIMIT_MS);
    socket.onopen = () => socket.send("holding");
    socket.onmessage = () => {
      clearTimeout(deadline);
      resolve(socket);
    };
    socket.onclose = (event) => {
      clearTimeout(deadline);
      reject(new Error(`closed with ${event.code} ${event.reason}`));
    };
  });
}

function closed(socket) {
  if (socket.readyState === WebSocket.CLOSED) return Promise.resolve();
  return Promise.race([
    new Promise((resolve) => {
      socket.onclose = resolve;
      socket.close(1000);
    }),
    pause(2_000),
  ]);
}

/** Runs `body` while `count` admitted sockets are held open on the route. */
async function holding(count, path, protocols, body) {
  const held = [];
  try {
    while (held.length < count) {
      // The slots of an earlier run come back a moment after its sockets have closed.
      for (let tries = 1; ; tries += 1) {
        try {
          held.push(await admitted(path, protocols));
          break;
        } catch (error) {
          if (tries === 4) throw new Error(`cannot hold ${count} sockets open: ${error.message}`);
          await pause(250);
        }
      }
    }
    return await body();
  } finally {
    await Promise.all(held.map(closed));
  }
}

// ---- Trials ---------------------------------------------------------------------------------------------------

const isControl = (scenario) => scenario.id === "ok";

/** Whether the refusal comes after admission, where there is no handshake left to refuse. */
const isMidSession = (scenario) =>
  scenario.id === "idle" || Boolean(scenario.burst || scenario.send_bytes || scenario.seconds);

/** What the page does with the socket so that the refusal comes. */
function script(scenario) {
  if (isControl(scenario)) {
    return {
      onOpen: (socket) => socket.send("hello"),
      onMessage: (socket) => socket.close(1000),
    };
  }
  if (scenario.burst) {
    return {
      onOpen(socket) {
        for (let sent = 1; sent <= scenario.burst; sent += 1) socket.send(`message ${sent}`);
      },
    };
  }
  if (scenario.send_bytes) return { onOpen: (socket) => socket.send(new Uint8Array(scenario.send_bytes)) };
  if (scenario.seconds) return { sessionMs: scenario.seconds * 1_000 + SESSION_LIMIT_MS };
  if (scenario.id === "idle") return { sessionMs: IDLE_GUESS_S * 1_000 };
  return {};
}

function trial(scenario, path) {
  const run = () => attempt(path, scenario.protocols, script(scenario));
  return scenario.hold ? holding(scenario.hold, path, scenario.protocols, run) : run();
}

function matches(scenario, seen) {
  const expect = scenario.expect ?? {};
  if (isControl(scenario)) return seen.code === 1000;
  return (
    seen.code === expect.code &&
    (expect.reason == null || seen.reason === expect.reason) &&
    (expect.recovery == null || recoveryFor(seen.code, seen.reason) === expect.recovery)
  );
}

const sub = (text) => el("span", { className: "sub" }, text);

function codeLine(seen, silent) {
  if (seen.code === null) return el("span", { className: "code" }, "no event");
  const code = el("span", { className: "code" }, String(seen.code));
  const words = (seen.reason || silent).split(/(?<=_)/);
  const reason = el("span", { className: "reason" }, ...words.flatMap((word) => [word, el("wbr")]));
  return el("span", { className: "line" }, code, " ", reason);
}

function story(scenario, seen) {
  if (seen.code === null) return seen.opened ? "still open at the time limit" : "no answer in 5 s";
  if (!seen.opened) return "handshake failed";
  if (isMidSession(scenario)) return "open, then cut in mid-session";
  return "accepted, then closed";
}

function plainCell(scenario, seen) {
  if (!seen) return [el("span", { className: "empty" }, "Not tried: the handshake itself is good.")];
  if (isControl(scenario) && seen.code === 1000) return [codeLine(seen, "echoed"), sub("admitted, closed by this page")];
  return [codeLine(seen, "no reason"), sub(story(scenario, seen))];
}

function portcullisCell(scenario, seen) {
  if (isControl(scenario) && seen.code === 1000) return [codeLine(seen, "echoed"), sub("admitted, closed by this page")];
  return [codeLine(seen, "no reason"), sub(story(scenario, seen))];
}

function badge(recovery, text = recovery) {
  return el("span", { className: "badge", data: { recovery } }, text);
}

function recoveryCell(scenario, seen) {
  if (isControl(scenario) && seen.code === 1000) return [badge("none"), sub("Nothing: the door is open.")];
  const recovery = recoveryFor(seen.code, seen.reason);
  if (!recovery) return [badge("unknown"), sub("The code does not say; a client can only guess.")];
  return [badge(recovery), sub(WHAT_TO_DO[recovery] ?? recovery)];
}

function resultCell(scenario, seen, matched) {
  const mark = el("span", { className: "mark" }, el("span", { ariaHidden: "true" }, matched ? "✓" : "✗"), matched ? "as expected" : "differs");
  const cell = [mark, sub(duration(seen.ms))];
  if (!matched && scenario.expect) {
    const { code, reason, recovery } = scenario.expect;
    cell.push(sub(`expected ${[code, reason, recovery].filter((part) => part != null && part !== "").join(", ")}`));
  }
  return cell;
}

const cellOf = (row, name) => row.querySelector(`[data-cell="${name}"]`);

/** Puts the nodes in the cell, and the bare values beside them for whoever reads the page by program. */
function fill(row, name, nodes, values = {}) {
  const cell = cellOf(row, name);
  cell.replaceChildren(...nodes);
  for (const key of Object.keys(cell.dataset)) if (key !== "cell" && key !== "label") delete cell.dataset[key];
  Object.assign(cell.dataset, values);
}

const waiting = (text) => [el("span", { className: "waiting" }, text)];

function waitingFor(scenario) {
  if (scenario.seconds) return `open, waiting ${scenario.seconds} s…`;
  if (scenario.id === "idle") return "open, saying nothing…";
  return "trying…";
}

const valuesOf = (seen) => ({
  code: seen.code ?? "none",
  reason: seen.reason,
  opened: seen.opened,
});

async function runTrial(row) {
  row.dataset.state = "running";
  for (const name of ["plain", "portcullis", "recovery", "result"]) fill(row, name, waiting("…"));
  try {
    // Asked anew each time: the tokens are short-lived, and one of them has to expire while we watch.
    const scenario = (await getJson("/demo/scenarios.json")).scenarios.find(({ id }) => id === row.dataset.scenario);
    if (!scenario) throw new Error("the gate no longer offers this trial");

    let plain = null;
    if (scenario.preaccept_path && !isMidSession(scenario)) {
      fill(row, "plain", waiting("trying…"));
      plain = await trial(scenario, scenario.preaccept_path);
    }
    fill(row, "plain", plainCell(scenario, plain), plain ? valuesOf(plain) : { code: "none" });

    fill(row, "portcullis", waiting(waitingFor(scenario)));
    const seen = await trial(scenario, scenario.path);
    const matched = matches(scenario, seen);
    fill(row, "portcullis", portcullisCell(scenario, seen), valuesOf(seen));
    fill(row, "recovery", recoveryCell(scenario, seen), { recovery: recoveryFor(seen.code, seen.reason) ?? "none" });
    fill(row, "result", resultCell(scenario, seen, matched), { matched, ms: Math.round(seen.ms) });
    row.dataset.state = matched ? "done" : "failed";
  } catch (error) {
    for (const name of ["plain", "portcullis", "recovery"]) {
      if (cellOf(row, name).querySelector(".waiting")) fill(row, name, [el("span", { className: "empty" }, "not reached")]);
    }
    const mark = el("span", { className: "mark" }, el("span", { ariaHidden: "true" }, "✗"), "could not run");
    fill(row, "result", [mark, sub(error.message)], { matched: false });
    row.dataset.state = "failed";
  }
}

// Trials run one after another: limits per subject would let one disturb the next.
let queue = Promise.resolve();

function enqueue(row) {
  const button = row.querySelector("[data-action=run]");
  button.disabled = true;
  queue = queue
    .then(() => runTrial(row))
    .finally(() => {
      button.disabled = false;
      summarise();
    });
  return queue;
}

const trialRows = () => [...document.querySelectorAll("tr[data-scenario]")];

function summarise() {
  const finished = trialRows().filter((row) => ["done", "failed"].includes(row.dataset.state));
  const matched = finished.filter((row) => row.dataset.state === "done");
  $("summary").textContent = finished.length ? `${matched.length} of ${finished.length} as expected` : "";
}

async function runAll() {
  const button = $("run-all");
  button.disabled = true;
  document.body.dataset.all = "running";
  await Promise.all(trialRows().map(enqueue));
  document.body.dataset.all = "done";
  button.disabled = false;
}

function showTrials(scenarios) {
  const ordered = [...scenarios].sort((a, b) => isControl(b) - isControl(a));
  const rows = ordered.map((scenario) => {
    const row = $("trial-template").content.cloneNode(true).firstElementChild;
    row.dataset.scenario = scenario.id;
    row.querySelector(".title").textContent = scenario.title;
    row.querySelector(".explain").textContent = scenario.explain;
    const button = row.querySelector("[data-action=run]");
    button.ariaLabel = `Run: ${scenario.title}`;
    button.addEventListener("click", () => enqueue(row));
    return row;
  });
  $("trial-rows").replaceChildren(...rows);
  $("run-all").disabled = false;
}

// ---- Echo -----------------------------------------------------------------------------------------------------

let echo = null;

function log(kind, text, aside = "") {
  const line = el("li", { data: { kind } }, el("span", {}, kind), el("span", {}, text), el("span", {}, aside));
  const list = $("echo-log");
  list.append(line);
  while (list.childElementCount > LOG_LINES) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

function echoState(state, text) {
  const status = $("echo-status");
  status.dataset.state = state;
  status.textContent = text;
  $("echo-connect").disabled = state === "open" || state === "connecting";
  $("echo-close").disabled = state !== "open" && state !== "connecting";
  $("echo-message").disabled = $("echo-send").disabled = state !== "open";
}

function echoEnded(started, code, reason) {
  echo = null;
  const recovery = recoveryFor(code, reason);
  const what = [code ?? "no answer", reason].filter(Boolean).join(" ");
  if (code === 1000 || code === 1005) {
    log("closed", what, duration(performance.now() - started));
    return echoState("closed", "closed");
  }
  log("refused", recovery ? `${what}. ${recovery}: ${WHAT_TO_DO[recovery]}` : what, duration(performance.now() - started));
  echoState("refused", recovery ? `${what}: ${recovery}` : what);
}

function connectEcho() {
  if (echo) return;
  const token = $("echo-token").value.trim();
  const protocols = token ? [bearerProtocol(token), "echo"] : ["echo"];
  const started = performance.now();
  const inFlight = [];
  const socket = openSocket("/echo", protocols);
  echo = { socket, inFlight };
  echoState("connecting", "connecting…");
  const deadline = setTimeout(() => {
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    echoEnded(started, null, "");
  }, CONNECT_LIMIT_MS);

  socket.onopen = () => {
    clearTimeout(deadline);
    log("open", `subprotocol ${socket.protocol || "(none)"}`, duration(performance.now() - started));
    echoState("open", "open");
    $("echo-message").focus();
  };
  socket.onmessage = ({ data }) => {
    const sent = inFlight.shift();
    const text = typeof data === "string" ? data : `${data.size} bytes`;
    log("received", text, sent === undefined ? "" : `${(performance.now() - sent).toFixed(1)} ms`);
  };
  socket.onclose = ({ code, reason }) => {
    clearTimeout(deadline);
    echoEnded(started, code, reason);
  };
}

function sendEcho() {
  const input = $("echo-message");
  if (echo?.socket.readyState !== WebSocket.OPEN) return;
  echo.inFlight.push(performance.now());
  echo.socket.send(input.value);
  log("sent", input.value);
  input.select();
}

/** A token in the fragment never went to a server; take it out of the address bar and the history as well. */
function takeTokenFromAddress() {
  const found = /^#(?:.*&)?token=([^&]*)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  let token = found[1];
  try {
    token = decodeURIComponent(token);
  } catch {
    // Not percent-encoded after all: take it as it stands.
  }
  $("echo-token").value = token;
  $("echo-token-note").textContent = "Taken from the address and removed from it. Kept in this page's memory only.";
}

// ---- Check ----------------------------------------------------------------------------------------------------

let questions = [];

function offerQuestions(scenarios) {
  questions = [
    { title: "the token pasted above", route: "/echo", token: () => $("echo-token").value.trim() },
    { title: "no token", route: "/echo", token: () => "" },
  ];
  for (const { id, title, preaccept_path: route } of scenarios.filter(
    (scenario) => scenario.preaccept_path && bearerToken(scenario.protocols) && !scenario.hold && !isMidSession(scenario),
  )) {
    const token = async () => {
      const fresh = (await getJson("/demo/scenarios.json")).scenarios.find((scenario) => scenario.id === id);
      return bearerToken(fresh.protocols);
    };
    questions.push({ title: `demo token: ${title}`, route, token });
  }
  $("check-with").replaceChildren(...questions.map(({ title }, index) => el("option", { value: index }, title)));
  showQuestion();
}

const checkPath = ({ route }) => `/.portcullis/check?route=${encodeURIComponent(route).replaceAll("%2F", "/")}`;

function showQuestion() {
  $("check-request").textContent = `GET ${checkPath(questions[$("check-with").value])}`;
  $("check-output").dataset.state = "idle";
  $("check-output").textContent = "Nothing asked yet.";
}

async function ask() {
  const question = questions[$("check-with").value];
  const output = $("check-output");
  output.dataset.state = "running";
  try {
    const token = await question.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(checkPath(question), { headers, cache: "no-store" });
    const body = await response.text();
    $("check-request").textContent = `GET ${checkPath(question)} → ${response.status}`;
    try {
      output.textContent = JSON.stringify(JSON.parse(body), null, 2);
    } catch {
      output.textContent = body;
    }
    output.dataset.state = "done";
  } catch (error) {
    output.textContent = error.message;
    output.dataset.state = "failed";
  }
}

// ---- Codes ----------------------------------------------------------------------------------------------------

function showCodes() {
  const cell = (label, className, ...children) => el("td", { className, role: "cell", data: { label } }, ...children);
  const number = (label, value, otherwise) => cell(label, "num", value == null ? otherwise : String(value));
  const rows = refusals.map((row) => {
    return el(
      "tr",
      { role: "row", data: { refusal: row.refusal } },
      el("th", { scope: "row", role: "rowheader" }, row.refusal),
      number("HTTP", row.status, "–"),
      number("Close", row.close, "never accepted"),
      cell("Recovery", "", row.recovery ? badge(row.recovery) : ""),
      cell("Meaning", "", row.meaning ?? ""),
    );
  });
  $("code-rows").replaceChildren(...rows);
  $("codes-count").textContent = `${refusals.length} refusals`;
}

// ---- Start ----------------------------------------------------------------------------------------------------

function onSubmit(id, action) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

takeTokenFromAddress();
addEventListener("hashchange", takeTokenFromAddress);
$("origin").textContent = location.origin;
onSubmit("echo-connect-form", connectEcho);
onSubmit("echo-send-form", sendEcho);
onSubmit("check-form", ask);
$("echo-close").addEventListener("click", () => echo?.socket.close(1000));
$("check-with").addEventListener("change", showQuestion);
$("run-all").addEventListener("click", runAll);
offerQuestions([]);

try {
  const [codes, { scenarios }] = await Promise.all([getJson("/demo/codes.json"), getJson("/demo/scenarios.json")]);
  refusals = codes;
  showCodes();
  showTrials(scenarios);
  offerQuestions(scenarios);
  document.body.dataset.ready = "true";
} catch (error) {
  $("trials-error").textContent = `The trials cannot be loaded: ${error.message}. Is the gate still running?`;
  $("trials-error").hidden = false;
  $("trial-rows").replaceChildren();
}
