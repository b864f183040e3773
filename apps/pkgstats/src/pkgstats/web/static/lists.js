// Pages with many packages: every card, row and column moves.

const MAX_FOLLOWED = 50; // by the site, for one connection
let followed = new Set();
let turn = Promise.resolve();

const rowsOf = (name) => document.querySelectorAll(`[data-name="${CSS.escape(name)}"]`);

/** The packages that the page shows; of very many the last ones, which are in view. */
function shownNames() {
  const names = [...document.querySelectorAll("[data-name]")].map((row) => row.dataset.name);
  if (dataset.names) names.push(...dataset.names.split(" "));
  return [...new Set(names)].slice(-MAX_FOLLOWED);
}

/** Ask the site to follow what is shown, and no more what isn't; one request after the other. */
page.follow = (isNew) => (turn = turn.catch(() => {}).then(async () => {
  if (isNew !== undefined) followed = new Set(); // a new connection is in none of these groups
  const names = shownNames();
  const gone = [...followed].filter((name) => !names.includes(name));
  const fresh = names.filter((name) => !followed.has(name));
  if (gone.length) await client.sendEvent("unwatch", { names: gone }, "json");
  if (fresh.length) await client.sendEvent("watch", { names: fresh }, "json");
  followed = new Set(names);
}));

const unfollowed = (error) => console.warn("pkgstats: new rows stand still.", error.message);

/** `134 k`, `10.4 M`, as the server writes it. */
const short = (count) =>
  count >= 1_000_000
    ? `${(count / 1_000_000).toFixed(1)} M`
    : count >= 10_000
      ? `${(count / 1000).toFixed(0)} k`
      : count.toLocaleString("en-US");

function showTotal({ name, total, at_least: isAtLeast }) {
  if (!isText(name) || !isCount(total)) return;
  const text = (isAtLeast ? "≥ " : "") + short(total);
  for (const row of rowsOf(name)) change(row.querySelector("[data-total]"), text);
}

function showVersion({ name, version }) {
  if (!isText(name) || !isVersion(version)) return;
  for (const row of rowsOf(name)) {
    const box = row.querySelector("[data-version]");
    change(box, box?.tagName === "B" ? `v${version}` : version);
  }
}

const nothing = () => {};
Object.assign(SHOW, {
  downloads: showTotal,
  release: showVersion,
  newest: nothing,
  pick: nothing,
  package: nothing,
  deprecated: nothing,
});
// Not before the marks are gone: what was swiped would be drawn anew without them.
page.refreshAfterMs = document.querySelector("[data-total]") ? MARK_MS : 1_000;

/** Read the page again: lines and ranks are drawn by the server. */
page.refresh = async () => {
  const fresh = await fetchAgain(location.href);
  if (!fresh) return;
  takeParts(fresh);
  for (const row of document.querySelectorAll("li.result[data-name]")) {
    const next = fresh.querySelector(`li.result[data-name="${CSS.escape(row.dataset.name)}"]`);
    if (next && !next.isEqualNode(row)) row.replaceWith(document.adoptNode(next));
  }
  if (isOpen) await page.follow();
};
