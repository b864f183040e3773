// The page of one package: figures move, a release is offered.

const total = document.getElementById("total");

function showDownloads(data) {
  if (!total || !isCount(data.total)) return;
  const text = data.total.toLocaleString("en-US");
  change(total, text);
  say(`Downloads in the last 30 days: ${text}.`);
}

/** Offer the new version; the page doesn't jump. */
function showRelease({ version }) {
  const banner = document.getElementById("release");
  if (!banner || !isVersion(version) || version === dataset.version) return;
  banner.querySelector("b").textContent = version;
  document.getElementById("release-words").textContent = "has just been published.";
  const link = banner.querySelector("a");
  link.textContent = `Show ${version}`;
  link.href = `${dataset.home}/v/${encodeURIComponent(version)}`;
  banner.hidden = false;
  say(`${version} has just been published.`);
}

function showWatchers({ count }) {
  const box = document.getElementById("watchers");
  if (!box || !isCount(count) || count === 0) return;
  const people = count === 1 ? "1 person watches" : `${count.toLocaleString("en-US")} people watch`;
  box.textContent = `${people} this page`;
  box.hidden = false;
}

const redraw = () => {};
Object.assign(SHOW, {
  downloads: showDownloads,
  release: showRelease,
  watchers: showWatchers,
  deprecated: redraw,
  package: redraw,
  readme: redraw,
});

page.follow = async (isFirst) => {
  if (isFirst) await client.joinGroup(dataset.group);
  await client.sendEvent("watch", { name: dataset.group.slice("pkg:".length) }, "json");
};

/** Read the page of this version again; take over its drawn parts and what was missed. */
page.refresh = async () => {
  const fresh = await fetchAgain(`${dataset.home}/v/${encodeURIComponent(dataset.version)}${location.search}`);
  if (!fresh) return;
  takeParts(fresh);
  const freshId = Number(fresh.body.dataset.lastId ?? 0);
  const figure = fresh.getElementById("total")?.textContent;
  if (figure && freshId > lastId) change(total, figure);
  lastId = freshId;
  if (fresh.body.dataset.latest && fresh.body.dataset.latest !== dataset.latest)
    showRelease({ version: fresh.body.dataset.latest });
};

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
