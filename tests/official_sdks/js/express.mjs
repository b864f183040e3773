// An application that takes the service's events with the official Express middleware, unmodified.
// `handlers.py` has the same application with ours. Its first line tells its address; then a line of
// JSON for each question, a line for its answer. It ends when its input does.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const express = require("express");
const { WebPubSubEventHandler } = require("@azure/web-pubsub-express");

/** A promise for each key; whoever comes first makes it. */
class Waits {
  #waits = new Map();
  of(...key) {
    const name = JSON.stringify(key);
    if (!this.#waits.has(name)) {
      const wait = {};
      wait.promise = new Promise((resolve) => (wait.resolve = resolve));
      this.#waits.set(name, wait);
    }
    return this.#waits.get(name);
  }
}
const heard = new Waits();
const released = new Waits();

/** Node.js hands header bytes on as Latin-1. */
const decoded = (text) => (text === undefined ? null : Buffer.from(text, "latin1").toString());
const told = ({ userId, states }, more) => ({ userId: decoded(userId), states, ...more });

const connectAnswers = {
  plain: (response) => response.success(),
  changed(response) {
    response.setState("k", 1);
    response.setState("who", "Zoë");
    response.success({ userId: "changed", groups: ["vip"], roles: ["webpubsub.sendToGroup.vip"] });
  },
  custom: (response) => response.success({ subprotocol: "custom" }),
  anonymous: (response) => response.success({ userId: "", roles: [] }),
  denied: (response) => response.fail(401, "not you"),
  bad: (response) => response.failWith({ code: 400, detail: "bad" }),
  broken: (response) => response.fail(500),
  raises() {
    throw new Error("on purpose");
  },
};

const eventAnswers = {
  echo: ({ data, dataType }, response) => response.success(dataType === "json" ? JSON.stringify(data) : data, dataType),
  nothing: (_, response) => response.success(),
  count({ context }, response) {
    response.setState("count", (context.states.count ?? 0) + 1);
    response.success(JSON.stringify(context.states), "json");
  },
  refuse({ context }, response) {
    response.setState("count", -1);
    response.fail(400, "no");
  },
  broken: (_, response) => response.fail(500, "no"),
};

const handling = {
  handleConnect({ context, queries }, response) {
    heard.of("connect", context.connectionId).resolve(told(context));
    connectAnswers[queries?.as?.[0] ?? "plain"](response);
  },
  async onConnected({ context }) {
    heard.of("began", context.connectionId).resolve(told(context));
    if (context.userId === "slow") await released.of(context.connectionId).promise;
    heard.of("connected", context.connectionId).resolve(told(context));
  },
  onDisconnected({ context, reason }) {
    heard.of("disconnected", context.connectionId).resolve(told(context, { reason: reason ?? "" }));
  },
  handleUserEvent(request, response) {
    const { context, data, dataType } = request;
    heard.of(context.eventName, context.connectionId).resolve(told(context));
    // A simple client's events have all one name: its text says what is wanted.
    const wanted = context.eventName === "message" && dataType === "text" ? data : context.eventName;
    (eventAnswers[wanted] ?? eventAnswers.echo)(request, response);
  },
};

/** The requests for the hub `bare`, in the order of their ends. */
const seen = [];
const wholeAfter = new Waits();
const app = express();
app.disable("x-powered-by");
app.use("/api/webpubsub/hubs/bare/", (request, response, next) => {
  const { method, path, headers } = request;
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("base64");
    seen.push({ method, path, headers, body });
    wholeAfter.of(seen.length).resolve();
  });
  next();
});
for (const [hub, options] of Object.entries({
  express: handling,
  bare: undefined,
  allowed: { allowedEndpoints: ["https://Other.example:444/x", "http://127.0.0.1"] },
  foreign: { allowedEndpoints: ["https://other.example"] },
})) {
  app.use(new WebPubSubEventHandler(hub, options).getMiddleware());
}

const answers = {
  heard: ([event, id]) => heard.of(event, id).promise,
  release: (id) => (released.of(id).resolve(), null),
  seen: (count) => wholeAfter.of(count).promise.then(() => seen),
};
const server = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
for await (const line of createInterface({ input: process.stdin })) {
  const [[question, argument]] = Object.entries(JSON.parse(line));
  console.log(JSON.stringify(await answers[question](argument)));
}
process.exit(0); // kept-alive connections of the service would hold the process
