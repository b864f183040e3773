// Home: columns that move, the latest pick, a pause.

const MAX_ROWS = 10;

/** A row on top of a column; the last one leaves. */
function putFirst(column, name, href, words, note) {
  if (!column || column.firstElementChild?.dataset.name === name) return;
  const row = make("li");
  row.dataset.name = name;
  const figure = make("span", { className: "num", textContent: words });
  row.append(make("a", { className: "name", href, textContent: name }), figure, make("p", { textContent: note }));
  column.prepend(row);
  while (column.children.length > MAX_ROWS) column.lastElementChild.remove();
  mark(row);
}

const column = (kind) => document.querySelector(`[data-feed=${kind}] .feed`);

function showNewest({ name, version, href }) {
  if (!isText(name) || !isVersion(version) || !isPath(href)) return;
  putFirst(column("newest"), name, href, version, "just now");
  say(`New: ${name} ${version}.`);
}

/** The bot's group has every pick and that of a curator, the group of its kind has it once more. */
function showPick({ kind, name, reason, href }, group) {
  if (!isText(name) || !isText(reason) || !isPath(href) || !isText(kind)) return;
  if (group === "feed.random") return putFirst(column("random"), name, href, "", reason);
  if (group === "feed.popular") return rowsOf(name).forEach(mark);
  const ticker = document.getElementById("ticker");
  if (group !== "feed.bot" || !ticker) return;
  ticker.replaceChildren(make("a", { className: "name", href, textContent: name }), ` ${kind}: ${reason}`);
  ticker.closest("[hidden]")?.removeAttribute("hidden");
  mark(ticker);
  say(`Picked: ${name}.`);
}

Object.assign(SHOW, { newest: showNewest, pick: showPick });

// --- a reader who wants calm ---------------------------------------------------------------------

const pause = document.getElementById("pause");
if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    page.isPaused = !page.isPaused;
    pause.setAttribute("aria-pressed", page.isPaused);
    if (isOpen) state(page.isPaused ? "paused" : "live");
    if (!page.isPaused && page.hasMissed) refreshSoon();
    page.hasMissed = false;
  });
}
