// What every page of pkgstats has in common: its connection, its notices, its box. Without script
// every page still works. Another file adds what moves on this kind of page (`page`, `SHOW`).

const { dataset } = document.body;
const badge = document.getElementById("live");
const said = document.getElementById("said");
const SAY_EVERY_MS = 30_000;
const MARK_MS = 6_000;
const CLOSED_ON_PURPOSE = 1000;
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/;
const WORDS = {
  live: "live",
  retry: "reconnecting",
  off: "not live",
  closed: "disconnected",
  stopped: "stopped",
  paused: "paused",
};

let lastId = Number(dataset.lastId ?? 0);
let lastTold = 0; // of what is sent to this visitor: its ids are told apart from those of groups
let client = null;
let connectionId = "";
let isOpen = false;
let connections = 0;
let lostGroup = "";

/** What this kind of page adds. `follow`: said at each connection; `refresh`: the page read again. */
const page = { follow: async () => {}, refresh: async () => {}, refreshAfterMs: 1_000, isPaused: false };

// --- what changes -------------------------------------------------------------------------------

const marks = new Map();

/** Swipe a box with the highlighter for six seconds. */
function mark(box) {
  clearTimeout(marks.get(box));
  box.classList.remove("changed");
  void box.offsetWidth; // a second change in a row swipes again
  box.classList.add("changed");
  marks.set(box, setTimeout(() => box.classList.remove("changed"), MARK_MS));
}

function change(box, text) {
  if (!box || box.textContent === text) return;
  box.textContent = text;
  mark(box);
}

let sentence = "";
let sayTimer = 0;
let spokenAt = -SAY_EVERY_MS;

/** Tell screen readers, at most once in thirty seconds; the newest sentence wins. */
function say(text) {
  sentence = text;
  if (sayTimer) return;
  const wait = Math.max(0, spokenAt + SAY_EVERY_MS - performance.now());
  sayTimer = setTimeout(() => {
    said.textContent = sentence;
    spokenAt = performance.now();
    sayTimer = 0;
  }, wait);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isText = (value) => typeof value === "string" && value.length > 0 && value.length <= 500;
const isVersion = (value) => typeof value === "string" && VERSION.test(value);
const isPath = (value) => typeof value === "string" && /^\/(?![/\\])/.test(value);
const make = (tag, facts) => Object.assign(document.createElement(tag), facts);

// --- notices: over the page, so that nothing jumps -----------------------------------------------

const notices = document.getElementById("notices");
const rows = new Map();
const MAX_NOTICES = 3;

/** One notice for each key; no text: it goes. `act`: a link or button beside it. */
function notify(key, text, act) {
  rows.get(key)?.remove();
  rows.delete(key);
  if (!text) return;
  const row = make("p", { className: "banner" });
  const close = make("button", { className: "btn low", textContent: "Close", onclick: () => notify(key) });
  row.append(make("span", { textContent: text }), ...(act ? [act] : []), close);
  rows.set(key, row);
  notices.append(row);
  if (rows.size > MAX_NOTICES) notify(rows.keys().next().value);
  say(text);
}

/** Of packages that the visitor watches; the page of such a package has a banner of its own. */
function tellRelease({ name, version, href }) {
  if (!isText(name) || !isVersion(version) || !isPath(href) || dataset.group === `pkg:${name}`) return;
  notify(name, `${name} ${version} has just been published.`, make("a", { className: "btn low", href, textContent: "Show it" }));
}

function tellNotice({ text }) {
  if (text === "" || isText(text)) notify("notice", text);
}

/** By kind of message: what was sent to this visitor or to everybody, and what to the page's groups. */
const TELL = { release: tellRelease, notice: tellNotice };
const SHOW = {};

/** The envelope comes from outside: nothing of it is trusted but checked values. */
function accept(message, kinds) {
  if (!isObject(message) || !isObject(message.data) || !Object.hasOwn(kinds, message.t)) return false;
  if (message.simulated && !("simulated" in dataset)) return false;
  const { id } = message;
  return id === undefined || id === null || Number.isSafeInteger(id);
}

function receive(message, group) {
  if (!accept(message, SHOW)) return;
  if (page.isPaused) return void (page.hasMissed = true);
  if (message.id) {
    if (message.id <= lastId) return; // the page contains it already
    lastId = message.id;
    if (message.t !== "watchers") refreshSoon();
  }
  SHOW[message.t](message.data, group);
}

function receiveOwn(message) {
  if (!accept(message, TELL)) return;
  if (message.id) {
    if (message.id <= lastTold) return;
    lastTold = message.id;
  }
  TELL[message.t](message.data);
}

// --- what the server drew: charts and tables, fetched again -------------------------------------

let refreshTimer = 0;

function refreshSoon() {
  refreshTimer ||= setTimeout(() => {
    refreshTimer = 0;
    page.refresh().catch((error) => console.warn("pkgstats: the page couldn't be read again.", error.message));
  }, page.refreshAfterMs * (1 + Math.random()));
}

/** The page as the server makes it now; undefined: it can't be had, or is older than this one. */
async function fetchAgain(address) {
  const answer = await fetch(address);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  return Number(fresh.body.dataset.lastId ?? lastId) < lastId ? undefined : fresh;
}

/** Take over the parts that differ. */
function takeParts(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.isEqualNode(part)) continue;
    next.querySelector("details")?.toggleAttribute("open", part.querySelector("details")?.open ?? false);
    part.replaceWith(document.adoptNode(next));
  }
}

// --- the connection -----------------------------------------------------------------------------

function state(name) {
  badge.dataset.state = name;
  badge.textContent = WORDS[name];
  badge.hidden = false;
}

/** Asked before each connection: a token with the few rights of this page. */
async function getClientAccessUrl() {
  const answer = await fetch(`/negotiate?for=${encodeURIComponent(location.pathname + location.search)}`);
  if (!answer.ok) throw new Error(`/negotiate answered ${answer.status}`);
  return (await answer.json()).url;
}

async function onConnected(event) {
  isOpen = true;
  connectionId = event.connectionId;
  connections += 1;
  notify("stopped");
  try {
    // The client rejoins the groups it has joined; what the site joined for us, we ask for again.
    await page.follow(connections === 1);
    if (lostGroup) throw new Error(`${lostGroup} can't be joined again`);
    if (connections > 1) refreshSoon(); // something may have been missed in between
    state(page.isPaused ? "paused" : "live");
  } catch (error) {
    console.warn("pkgstats: this page can't follow what it shows.", error.message);
    if (!isOpen) return;
    state("off");
    const again = make("a", { className: "btn low", href: location.href, textContent: "Reload" });
    notify("stopped", "This page may miss changes from here on.", again);
  }
}

function lost(name) {
  isOpen = false;
  state(name);
}

function onDisconnected({ closeCode, message }) {
  lost("retry");
  if (closeCode !== CLOSED_ON_PURPOSE || !message) return;
  // Somebody wants it so: coming back at once would be rude.
  state("closed");
  client.stop();
  const retry = make("button", { className: "btn low", textContent: "Connect again", onclick: start });
  const reason = isText(message.message) ? `: ${message.message}` : "";
  notify("stopped", `Disconnected by the site${reason}.`, retry);
}

async function connect() {
  const { WebPubSubClient } = await import(clientAddress());
  client = new WebPubSubClient({ getClientAccessUrl });
  client.on("connected", onConnected);
  client.on("recovering", () => lost("retry"));
  client.on("recovered", () => {
    isOpen = true;
    state(page.isPaused ? "paused" : "live");
  });
  client.on("disconnected", onDisconnected);
  client.on("stopped", () => lost("stopped"));
  client.on("rejoin-group-failed", ({ group }) => (lostGroup = group));
  client.on("group-message", ({ message }) => receive(message.data, message.group));
  client.on("server-message", ({ message }) => receiveOwn(message.data));
  await start();
}

/** `?client=official`: another client with the same names, where the site has been given one. */
const clientAddress = () =>
  new URLSearchParams(location.search).get("client") === "official" && dataset.official
    ? dataset.official
    : dataset.client;

/** The first connection isn't tried again by the client, so it is here, ever more slowly. */
async function start() {
  for (let tries = 0; ; tries += 1) {
    try {
      await client.start();
      return;
    } catch (error) {
      if (tries === 0) console.warn("pkgstats: no live connection yet.", error.message);
      state("off");
      const pause = Math.min(30_000, 1_000 * 2 ** Math.min(tries, 5));
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
    }
  }
}

// Goodbye in words: else hubbub keeps the session for its return, and the reader counts as watching.
addEventListener("pagehide", () => client?.stop());
addEventListener("pageshow", (event) => event.persisted && client && start());
connect().catch((error) => {
  state("off");
  console.warn("pkgstats: no live parts on this page.", error.message);
});

// --- the box ------------------------------------------------------------------------------------

const box = document.getElementById("q");
const list = document.getElementById("suggestions");
const LIMIT = 8;
let asking = null;
let chosen = -1;

/** Suggestions over the socket while it is open, else over HTTP; the same answer either way. */
async function ask(text, abortSignal) {
  if (isOpen) {
    try {
      const answer = await client.invokeEvent("suggest", { q: text, limit: LIMIT }, "json", { abortSignal });
      return answer.data;
    } catch (error) {
      if (abortSignal.aborted) throw error;
    }
  }
  const query = new URLSearchParams({ q: text, limit: LIMIT });
  const answer = await fetch(`/api/v1/suggest?${query}`, { signal: abortSignal });
  if (!answer.ok) throw new Error(`/api/v1/suggest answered ${answer.status}`);
  return answer.json();
}

async function suggest() {
  asking?.abort(); // each key makes the question before it pointless
  const mine = (asking = new AbortController());
  const text = box.value.trim();
  if (!text) return close();
  try {
    const { items } = await ask(text, mine.signal);
    if (!mine.signal.aborted && document.activeElement === box) draw(items, text);
  } catch (error) {
    if (mine.signal.aborted) return;
    close();
    console.warn("pkgstats: no suggestions.", error.message);
  }
}

/** The words that were typed stand out in a name. */
function marked(name, text) {
  const span = make("span", { className: "name" });
  const wanted = text.toLowerCase().replace(/^pkg:/, "").split(/\s+/).filter(Boolean);
  const at = wanted.map((word) => [name.toLowerCase().indexOf(word), word.length]).find(([i]) => i >= 0);
  if (!at) return Object.assign(span, { textContent: name });
  const [begin, length] = at;
  const found = make("mark", { textContent: name.slice(begin, begin + length) });
  span.append(name.slice(0, begin), found, name.slice(begin + length));
  return span;
}

function draw(items, text) {
  const options = items.filter((item) => isPath(item.href)).slice(0, LIMIT).map((item, i) => {
    const row = make("li", { id: `s${i}`, role: "option", ariaSelected: "false" });
    row.dataset.href = item.href;
    const note = make("span", { className: "quiet small" });
    note.textContent = item.version ? `v${item.version}` : item.kind === "package" ? "name only" : item.kind;
    row.append(marked(item.text, text), note);
    return row;
  });
  list.replaceChildren(...options);
  pick(-1);
  box.setAttribute("aria-expanded", options.length > 0);
}

function pick(index) {
  chosen = index;
  [...list.children].forEach((row, i) => row.setAttribute("aria-selected", i === index));
  if (index < 0) return box.removeAttribute("aria-activedescendant");
  box.setAttribute("aria-activedescendant", list.children[index].id);
  list.children[index].scrollIntoView({ block: "nearest" });
}

function close() {
  asking?.abort();
  box.setAttribute("aria-expanded", "false");
  pick(-1);
}

function onKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const rows = list.children.length;
  if (step && rows) {
    event.preventDefault();
    box.setAttribute("aria-expanded", "true");
    // One place before the first row and after the last one is the box itself.
    pick(((chosen + 1 + step + rows + 1) % (rows + 1)) - 1);
  }
  if (event.key === "Escape") close();
  if (event.key === "Enter" && chosen >= 0) {
    event.preventDefault();
    location.href = list.children[chosen].dataset.href;
  }
}

if (box && list) {
  box.addEventListener("input", suggest);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", onKey);
  list.addEventListener("mousedown", (event) => {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    event.preventDefault(); // the box keeps the focus, so the list stays until we leave
    location.href = row.dataset.href;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.activeElement?.matches("input,textarea,select,[contenteditable]")) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
}
