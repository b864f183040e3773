// Comforts of every page that need no connection: colours without a reload, endless results.

// --- colours ------------------------------------------------------------------------------------

const theme = document.getElementById("theme");

theme?.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!button) return;
  event.preventDefault();
  const fields = new URLSearchParams({ back: "/", theme: button.value });
  // The answer leads to a page that nobody needs here: only its cookie counts.
  await fetch("/theme", { method: "POST", body: fields, redirect: "manual" }).catch((error) =>
    console.warn("pkgstats: the colours hold for this page only.", error.message));
  if (button.value) document.documentElement.dataset.theme = button.value;
  else delete document.documentElement.dataset.theme;
  document.querySelector("meta[name=color-scheme]").content = button.value || "light dark";
  for (const one of theme.querySelectorAll("button"))
    one.setAttribute("aria-pressed", String(one === button));
});

// --- endless results: the next page is read when its link comes near ----------------------------

const results = document.getElementById("results");
const loading = document.getElementById("loading");

async function more(link, seen) {
  seen.disconnect();
  const nav = link.closest("nav");
  const { page, pages } = nav.dataset;
  loading.textContent = `Loading ${Number(page) + 1} of ${pages}`;
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const rows = fresh.querySelectorAll("#results > li");
    results.append(...[...rows].map((row) => document.adoptNode(row)));
    const next = fresh.querySelector("nav.pages");
    if (next) nav.replaceWith(document.adoptNode(next));
    document.querySelector("nav.pages [rel=prev]")?.remove();
    loading.textContent = "";
    document.dispatchEvent(new CustomEvent("pkgstats:more"));
    watch();
  } catch {
    loading.textContent = "The next page could not be read. The link above leads there.";
  }
}

function watch() {
  const link = document.querySelector("nav.pages [rel=next]");
  if (!results || !link) return;
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more(link, seen);
  }, { rootMargin: "600px" });
  seen.observe(link);
}

watch();
