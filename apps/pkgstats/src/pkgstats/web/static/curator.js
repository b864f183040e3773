// The curators' page: a pick goes from here straight into the group, without the site between.

const form = document.getElementById("pick");
const outcome = document.getElementById("outcome");
const TRIES = 3;

/** Again with the same id: hubbub takes a pick that has come already for what it is. */
async function post(pick, ackId) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await client.sendToGroup("feed.bot", pick, "json", { noEcho: true, ackId });
    } catch (error) {
      if (error.errorDetail || tries === TRIES) throw error; // an answer, so no fault of the line
    }
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const name = fields.get("name").trim();
  const pick = {
    v: 1,
    t: "pick",
    at: new Date().toISOString(),
    data: { kind: "curator", name, reason: fields.get("reason").trim(), href: encodeURI(`/pkg:${name}`) },
  };
  if ("simulated" in dataset) pick.simulated = true;
  outcome.textContent = "Posting …";
  try {
    await post(pick, Date.now());
    outcome.textContent = `Posted: ${name}.`;
    form.reset();
  } catch (error) {
    outcome.textContent = `Not posted: ${error.errorDetail?.name ?? error.message}.`;
  }
});

document.getElementById("leave")?.addEventListener("click", async () => {
  const body = new URLSearchParams({ do: "leave", connection: connectionId });
  const answer = await fetch("/curator", { method: "POST", body, redirect: "manual" });
  outcome.textContent = answer.type === "opaqueredirect" ? "The right is given back." : "That did not work.";
});
