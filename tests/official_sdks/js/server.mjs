// The official JavaScript server SDK, unmodified: its tokens let clients in, its sends reach them.
// Prints {scenario: null | "what went wrong"}.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { outcomes, until, watch } from "./scenarios.mjs";

const settings = JSON.parse(process.argv[2]);
const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { WebPubSubServiceClient, AzureKeyCredential } = require("@azure/web-pubsub");
const { WebPubSubClient } = require("wps-client-110");

const insecure = { allowInsecureConnection: true };
const server = new WebPubSubServiceClient(settings.connectionString, settings.hub, insecure);

async function connect(token = {}) {
  const { url } = await server.getClientAccessToken(token);
  const log = watch(new WebPubSubClient(url));
  await log.client.start();
  await until(() => log.connected.length);
  return log;
}

const bytes = new Uint8Array([0, 1, 255]);
const plain = ({ dataType, data }) =>
  data instanceof ArrayBuffer ? [dataType, ...new Uint8Array(data)] : [dataType, data];
const EXPECTED = [
  ["json", { a: [1, "ü"] }],
  ["json", "quoted"],
  ["text", "hi 🎈"],
  ["binary", 0, 1, 255],
];

/** Sends one message of each kind. */
async function sendEach(send) {
  await send({ a: [1, "ü"] });
  await send("quoted");
  await send("hi 🎈", { contentType: "text/plain" });
  await send(bytes.buffer);
}

const scenarios = {
  async token() {
    const token = { userId: "ann", groups: ["vip"], roles: ["webpubsub.sendToGroup.out"] };
    const log = await connect(token);
    assert.equal(log.connected[0].userId, "ann");
    await server.group("vip").sendToAll("welcome", { contentType: "text/plain" });
    await until(() => log.group.length);
    await log.client.sendToGroup("out", "x", "text");
    await assert.rejects(log.client.sendToGroup("other", "x", "text", {}), {
      name: "SendMessageError",
    });
  },

  async tokenByKey() {
    const parts = settings.connectionString.split(";").map((part) => part.split(/=(.*)/s));
    const { Endpoint, AccessKey } = Object.fromEntries(parts);
    const credential = new AzureKeyCredential(AccessKey);
    const other = new WebPubSubServiceClient(Endpoint, credential, settings.hub, insecure);
    const { url, baseUrl, token } = await other.getClientAccessToken({ userId: "key" });
    assert.equal(url, `${baseUrl}?access_token=${token}`);
    const log = watch(new WebPubSubClient(url));
    await log.client.start();
    await until(() => log.connected.length);
  },

  async sendToConnection() {
    const [log, bystander] = [await connect(), await connect()];
    const { connectionId } = log.connected[0];
    await sendEach((message, options) => server.sendToConnection(connectionId, message, options));
    await until(() => log.server.length === 4);
    assert.deepEqual(log.server.map(plain), EXPECTED);
    assert.deepEqual(bystander.server.filter(({ data }) => data === "quoted"), []);
  },

  async sendToUser() {
    const both = [await connect({ userId: "two/of them" }), await connect({ userId: "two/of them" })];
    const bystander = await connect({ userId: "one" });
    await sendEach((message, options) => server.sendToUser("two/of them", message, options));
    await until(() => both.every((log) => log.server.length === 4));
    for (const log of both) assert.deepEqual(log.server.map(plain), EXPECTED);
    assert.deepEqual(bystander.server, []);
  },

  async sendToGroup() {
    const name = "a b/@c:d";
    const [log, excluded] = [await connect({ groups: [name] }), await connect({ groups: [name] })];
    const excludedConnections = [excluded.connected[0].connectionId];
    await sendEach((message, options) =>
      server.group(name).sendToAll(message, { ...options, excludedConnections }),
    );
    await until(() => log.group.length === 4);
    assert.deepEqual(log.group.map(plain), EXPECTED);
    assert.deepEqual([log.group[0].group, log.group[0].fromUserId ?? null], [name, null]);
    assert.deepEqual(excluded.group, []);
  },

  async sendToAll() {
    const all = new WebPubSubServiceClient(settings.connectionString, "everyone", insecure);
    const logs = [];
    for (let n = 0; n < 3; n += 1) {
      logs.push(watch(new WebPubSubClient((await all.getClientAccessToken()).url)));
      await logs[n].client.start();
      await until(() => logs[n].connected.length);
    }
    const excludedConnections = [logs[2].connected[0].connectionId];
    await sendEach((message, options) => all.sendToAll(message, { ...options, excludedConnections }));
    await until(() => logs[0].server.length === 4 && logs[1].server.length === 4);
    assert.deepEqual(logs[0].server.map(plain), EXPECTED);
    assert.deepEqual(logs[2].server, []);
  },

  async wrongKey() {
    const key = new AzureKeyCredential("not-the-key-".repeat(4));
    const other = new WebPubSubServiceClient(settings.url, key, settings.hub, insecure);
    await assert.rejects(other.sendToAll("x"), { statusCode: 401 });
  },
};

console.log(JSON.stringify(await outcomes(scenarios)));
process.exit(0); // the clients' timers would keep the process alive
