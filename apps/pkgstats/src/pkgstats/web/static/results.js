// Endless results: the next page is read when its link comes near.


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
    if (isOpen) page.follow().catch(unfollowed);
    watchEnd();
  } catch {
    loading.textContent = "The next page could not be read. The link above leads there.";
  }
}

function watchEnd() {
  const link = document.querySelector("nav.pages [rel=next]");
  if (!results || !link) return;
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) more(link, seen);
  }, { rootMargin: "600px" });
  seen.observe(link);
}

watchEnd();
