// The page /quality measures itself, in the browser of whoever reads it.

const files = performance.getEntriesByType("resource");
const others = files.filter((file) => new URL(file.name).host !== location.host).length;
const page = performance.getEntriesByType("navigation")[0];
const bytes = [page, ...files].reduce((sum, entry) => sum + (entry?.transferSize ?? 0), 0);
const nodes = document.querySelectorAll("*").length;

document.getElementById("measured").textContent =
  `This page, in your browser: ${files.length + 1} requests, ${others} to other hosts, ` +
  `${(bytes / 1000).toFixed(1)} kB over the wire, ${nodes} elements.`;
