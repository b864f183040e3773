// What both scripts need: waiting, watching a client, running scenarios side by side.

const TIMEOUT_MS = 40_000;

export async function until(isTrue) {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Writes down what a client emits. */
export function watch(client) {
  const log = { client, connected: [], disconnected: [], stopped: [], group: [], server: [] };
  client.on("connected", (e) => log.connected.push(e));
  client.on("disconnected", (e) => log.disconnected.push(e));
  client.on("stopped", (e) => log.stopped.push(e));
  client.on("group-message", (e) => log.group.push(e.message));
  client.on("server-message", (e) => log.server.push(e.message));
  return log;
}

/** null, or what went wrong, for each scenario. */
export async function outcomes(scenarios) {
  const runs = Object.entries(scenarios).map(async ([name, run]) => [name, await outcome(run)]);
  return Object.fromEntries(await Promise.all(runs));
}

async function outcome(scenario) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), TIMEOUT_MS);
  });
  try {
    await Promise.race([scenario(), late]);
    return null;
  } catch (error) {
    return error.stack ?? String(error);
  } finally {
    clearTimeout(timer);
  }
}
