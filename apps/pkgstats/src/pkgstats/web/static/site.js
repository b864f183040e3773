// Comforts of every page that need no connection.

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
