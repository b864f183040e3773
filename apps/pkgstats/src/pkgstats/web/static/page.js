// What moves on a page of pkgstats. Without this file every page still works.

const group = document.body.dataset.group; // "pkg:NAME" on the page of a package, else nothing
const badge = document.getElementById("live");
const total = document.getElementById("total");
const said = document.getElementById("said");
const SAY_EVERY_MS = 30_000;
const MARK_MS = 6_000;
const REFRESH_AFTER_MS = 1_000;
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/;
const WORDS = { live: "live", retry: "reconnecting", off: "not live", stopped: "stopped" };

let lastId = Number(document.body.dataset.lastId ?? 0);
let client = null;
let isOpen = false;
let connections = 0;

// --- what changes -------------------------------------------------------------------------------

const marks = new Map();

/** Put new text into a box and swipe it with the highlighter for six seconds. */
function change(box, text) {
  if (!box || box.textContent === text) return;
  box.textContent = text;
  clearTimeout(marks.get(box));
  box.classList.remove("changed");
  void box.offsetWidth; // a second change in a row swipes again
  box.classList.add("changed");
  marks.set(box, setTimeout(() => box.classList.remove("changed"), MARK_MS));
}

let sentence = "";
let sayTimer = 0;
let spokenAt = -SAY_EVERY_MS;

/** Tell screen readers, at most once in thirty seconds; the newest sentence wins. */
function say(text) {
  sentence = text;
  if (sayTimer || !said) return;
  const wait = Math.max(0, spokenAt + SAY_EVERY_MS - performance.now());
  sayTimer = setTimeout(() => {
    said.textContent = sentence;
    spokenAt = performance.now();
    sayTimer = 0;
  }, wait);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

function showDownloads(data) {
  if (!total || !isCount(data.total)) return;
  const text = data.total.toLocaleString("en-US");
  change(total, text);
  say(`Downloads in the last 30 days: ${text}.`);
}

/** Offer the new version; the page doesn't jump. */
function showRelease(data) {
  const banner = document.getElementById("release");
  const { version } = data;
  if (!banner || typeof version !== "string" || !VERSION.test(version)) return;
  if (version === document.body.dataset.version) return;
  banner.querySelector("b").textContent = version;
  document.getElementById("release-words").textContent = "has just been published.";
  const link = banner.querySelector("a");
  link.textContent = `Show ${version}`;
  link.href = `${document.body.dataset.home}/v/${encodeURIComponent(version)}`;
  banner.hidden = false;
  say(`${version} has just been published.`);
}

function showWatchers(data) {
  const box = document.getElementById("watchers");
  if (!box || !isCount(data.count) || data.count === 0) return;
  const people = data.count === 1 ? "1 person watches" : `${data.count.toLocaleString("en-US")} people watch`;
  box.textContent = `${people} this page`;
  box.hidden = false;
}

const redraw = () => {};
const SHOW = {
  downloads: showDownloads,
  release: showRelease,
  watchers: showWatchers,
  deprecated: redraw,
  package: redraw,
  readme: redraw,
};

/** One message of the group. It comes from outside: nothing of it is trusted but checked values. */
function receive(message) {
  if (!isObject(message) || !isObject(message.data) || !Object.hasOwn(SHOW, message.t)) return;
  if (message.simulated && !("simulated" in document.body.dataset)) return;
  const { id } = message;
  if (id !== undefined && id !== null) {
    if (!Number.isSafeInteger(id) || id <= lastId) return; // the page contains it already
    lastId = id;
    if (message.t !== "watchers") refreshSoon();
  }
  SHOW[message.t](message.data);
}

// --- what the server drew: charts and tables, fetched again -------------------------------------

let refreshTimer = 0;

function refreshSoon() {
  refreshTimer ||= setTimeout(() => {
    refreshTimer = 0;
    refresh().catch((error) => console.warn("pkgstats: the page couldn't be read again.", error.message));
  }, REFRESH_AFTER_MS * (1 + Math.random()));
}

/** Read the page of this version again; take over its drawn parts and what was missed. */
async function refresh() {
  const { home, version } = document.body.dataset;
  const answer = await fetch(`${home}/v/${encodeURIComponent(version)}${location.search}`);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const freshId = Number(fresh.body.dataset.lastId ?? 0);
  if (freshId < lastId) return;
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.isEqualNode(part)) continue;
    next.querySelector("details")?.toggleAttribute("open", part.querySelector("details")?.open ?? false);
    part.replaceWith(document.adoptNode(next));
  }
  const figure = fresh.getElementById("total")?.textContent;
  if (figure && freshId > lastId) change(total, figure);
  lastId = freshId;
  if (fresh.body.dataset.latest && fresh.body.dataset.latest !== document.body.dataset.latest)
    showRelease({ version: fresh.body.dataset.latest });
}

// --- the connection -----------------------------------------------------------------------------

function state(name) {
  if (!badge) return;
  badge.dataset.state = name;
  badge.textContent = WORDS[name];
  badge.hidden = false;
}

/** Asked before each connection: a token that opens this page's group and nothing else. */
async function getClientAccessUrl() {
  const answer = await fetch(`/negotiate?for=${encodeURIComponent(location.pathname)}`);
  if (!answer.ok) throw new Error(`/negotiate answered ${answer.status}`);
  return (await answer.json()).url;
}

async function follow() {
  if (group) {
    await client.joinGroup(group);
    await client.sendEvent("watch", { name: group.slice("pkg:".length) }, "json");
    if (connections > 1) refreshSoon(); // something may have been missed in between
  }
  state("live");
}

function onConnected() {
  isOpen = true;
  connections += 1;
  follow().catch((error) => {
    console.warn("pkgstats: this page couldn't join its group.", error.message);
    if (isOpen) state("off");
  });
}

function lost(name) {
  isOpen = false;
  state(name);
}

async function connect() {
  const { WebPubSubClient } = await import(document.body.dataset.client);
  client = new WebPubSubClient({ getClientAccessUrl }, { autoRejoinGroups: false });
  client.on("connected", onConnected);
  client.on("recovering", () => lost("retry"));
  client.on("recovered", () => {
    isOpen = true;
    state("live");
  });
  client.on("disconnected", () => lost("retry"));
  client.on("stopped", () => lost("stopped"));
  client.on("group-message", (event) => {
    if (event.message.group === group) receive(event.message.data);
  });
  await start();
}

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

let connecting = null;
const connectOnce = () =>
  (connecting ??= connect().catch((error) => {
    state("off");
    console.warn("pkgstats: no live parts on this page.", error.message);
  }));

// Goodbye in words: else hubbub keeps the session for its return, and the reader counts as watching.
addEventListener("pagehide", () => client?.stop());
addEventListener("pageshow", (event) => event.persisted && client && start());
if (group) connectOnce();

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
  const span = Object.assign(document.createElement("span"), { className: "name" });
  const wanted = text.toLowerCase().replace(/^pkg:/, "").split(/\s+/).filter(Boolean);
  const at = wanted.map((word) => [name.toLowerCase().indexOf(word), word.length]).find(([i]) => i >= 0);
  if (!at) return Object.assign(span, { textContent: name });
  const [start, length] = at;
  const mark = Object.assign(document.createElement("mark"), { textContent: name.slice(start, start + length) });
  span.append(name.slice(0, start), mark, name.slice(start + length));
  return span;
}

function draw(items, text) {
  const rows = items.filter((item) => /^\/(?!\/)/.test(item.href)).slice(0, LIMIT).map((item, i) => {
    const row = document.createElement("li");
    row.id = `s${i}`;
    row.role = "option";
    row.ariaSelected = "false";
    row.dataset.href = item.href;
    const note = Object.assign(document.createElement("span"), { className: "quiet small" });
    note.textContent = item.version ? `v${item.version}` : item.kind === "package" ? "name only" : item.kind;
    row.append(marked(item.text, text), note);
    return row;
  });
  list.replaceChildren(...rows);
  pick(-1);
  box.setAttribute("aria-expanded", rows.length > 0);
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
  box.addEventListener("focus", connectOnce, { once: true });
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

// --- the install line ---------------------------------------------------------------------------

const copy = document.getElementById("copy");
if (copy && navigator.clipboard) {
  const label = copy.firstChild;
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById("install").textContent);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Not allowed";
    }
    setTimeout(() => (label.textContent = "Copy"), 2_000);
  });
}
