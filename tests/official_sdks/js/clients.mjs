// The official JavaScript client, unmodified, against our service. All scenarios run side by side,
// each with clients and a group of its own; prints {scenario: null | "what went wrong"}.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { outcomes, until, watch } from "./scenarios.mjs";

const settings = JSON.parse(process.argv[2]);
const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { WebPubSubServiceClient } = require("@azure/web-pubsub");
const { WebPubSubClient, WebPubSubJsonProtocol } = require(settings.client);

const EVERYTHING = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];

// Several runs share the service.
const group = (name) => `${settings.client}.${name}`;

const accessUrl = async ({ roles = EVERYTHING, at = settings.connectionString, hub = "chat", ...rest }) => {
  const server = new WebPubSubServiceClient(at, hub, { allowInsecureConnection: true });
  return (await server.getClientAccessToken({ roles, ...rest })).url;
};

async function connect({ options, ...token } = {}) {
  const once = { messageRetryOptions: { maxRetries: 0 } };
  const credential = { getClientAccessUrl: () => accessUrl(token) };
  const log = watch(new WebPubSubClient(credential, { ...once, ...options }));
  await log.client.start();
  await until(() => log.connected.length === 1);
  return log;
}

const failure = (promise) =>
  promise.then(
    (value) => assert.fail(`expected an error, got ${JSON.stringify(value)}`),
    (error) => error,
  );
const plain = ({ dataType, data }) =>
  data instanceof ArrayBuffer ? [dataType, ...new Uint8Array(data)] : [dataType, data];
const bytes = (...numbers) => new Uint8Array(numbers).buffer;

const scenarios = {
  async connectByUrl() {
    const log = watch(new WebPubSubClient(await accessUrl({ userId: "ann" })));
    await log.client.start();
    await until(() => log.connected.length);
    assert.equal(log.connected[0].userId, "ann");
    assert.match(log.connected[0].connectionId, /./);
    log.client.stop();
    await until(() => log.stopped.length);
    assert.equal(log.disconnected.length, 1);
  },

  async connectByCallback() {
    let calls = 0;
    const getClientAccessUrl = async () => (calls++, accessUrl({ userId: "bob" }));
    const log = watch(new WebPubSubClient({ getClientAccessUrl }));
    await log.client.start();
    await until(() => log.connected.length);
    assert.equal(calls, 1);
  },

  async plainProtocol() {
    const log = await connect({ options: { protocol: WebPubSubJsonProtocol() } });
    await log.client.joinGroup(group("plain"));
    await log.client.sendToGroup(group("plain"), "hi", "text");
    await until(() => log.group.length);
    assert.deepEqual(plain(log.group[0]), ["text", "hi"]);
    assert.equal(log.group[0].sequenceId, undefined);
  },

  async joinAndLeave() {
    const [member, sender] = [await connect(), await connect({ userId: "sam" })];
    const { ackId, isDuplicated } = await member.client.joinGroup(group("news"));
    assert.deepEqual([typeof ackId, isDuplicated], ["number", false]);
    await sender.client.sendToGroup(group("news"), "one", "text");
    await until(() => member.group.length);
    await member.client.leaveGroup(group("news"));
    await sender.client.sendToGroup(group("news"), "two", "text");
    await member.client.joinGroup(group("news"));
    await sender.client.sendToGroup(group("news"), "three", "text");
    await until(() => member.group.length === 2);
    assert.deepEqual(member.group.map((m) => [m.group, m.fromUserId, m.data]), [
      [group("news"), "sam", "one"],
      [group("news"), "sam", "three"],
    ]);
    assert.deepEqual(sender.group, []);
  },

  async dataTypes() {
    const any = bytes(0x0a, 3, 0x61, 0x2f, 0x62, 0x12, 1, 1);
    const sent = [
      ["json", { a: [1, null, { b: "ü" }] }],
      ["json", "text"],
      ["json", 1.5],
      ["json", false],
      ["json", []],
      ["text", ""],
      ["text", 'emoji 🎈, "quotes", \\ and \u0000'],
      ["binary", bytes()],
      ["binary", bytes(0, 1, 254, 255)],
      ["protobuf", any],
    ];
    const [member, sender] = [await connect(), await connect()];
    await member.client.joinGroup(group("types"));
    for (const [dataType, data] of sent) await sender.client.sendToGroup(group("types"), data, dataType);
    await until(() => member.group.length === sent.length);
    assert.deepEqual(
      member.group.map(plain),
      sent.map(([dataType, data]) => plain({ dataType, data })),
    );
    assert.deepEqual(member.group.map((m) => m.sequenceId), sent.map((_, n) => n + 1));
  },

  async noEcho() {
    const [self, other] = [await connect({ userId: "eve" }), await connect({ userId: "eve" })];
    for (const log of [self, other]) await log.client.joinGroup(group("echo"));
    await self.client.sendToGroup(group("echo"), "silent", "text", { noEcho: true });
    await self.client.sendToGroup(group("echo"), "loud", "text");
    await until(() => self.group.length === 1 && other.group.length === 2);
    assert.equal(self.group[0].data, "loud");
  },

  async fireAndForget() {
    const log = await connect();
    await log.client.joinGroup(group("forget"));
    const result = await log.client.sendToGroup(group("forget"), "x", "text", { fireAndForget: true });
    assert.deepEqual(result, { isDuplicated: false });
    await until(() => log.group.length);
  },

  async events() {
    const log = await connect({ roles: [] });
    const sent = [["json", { a: 1 }], ["text", "hi"], ["binary", bytes(1, 2)]];
    for (const [dataType, data] of sent) {
      const { isDuplicated } = await log.client.sendEvent("echo", data, dataType);
      assert.equal(isDuplicated, false);
    }
    assert.deepEqual(log.server.map(plain), [["json", { a: 1 }], ["text", "hi"], ["binary", 1, 2]]);
    await log.client.sendEvent("nothing", "x", "text");
    const error = await failure(log.client.sendEvent("fail", "x", "text"));
    assert.equal(error.name, "SendMessageError");
    assert.equal(error.errorDetail.name, "InternalServerError");
    assert.equal(log.server.length, 3);
    assert.equal(log.disconnected.length, 0);
  },

  async ackReuse() {
    const [member, sender] = [await connect(), await connect()];
    await member.client.joinGroup(group("acks"));
    const send = () => sender.client.sendToGroup(group("acks"), "once", "text", { ackId: 77 });
    assert.deepEqual(await send(), { ackId: 77, isDuplicated: false });
    assert.deepEqual(await send(), { ackId: 77, isDuplicated: true });
    await sender.client.sendToGroup(group("acks"), "last", "text");
    await until(() => member.group.some((m) => m.data === "last"));
    assert.deepEqual(member.group.map((m) => m.data), ["once", "last"]);
  },

  async forbidden() {
    const log = await connect({ roles: ["webpubsub.joinLeaveGroup.mine"] });
    for (const call of [
      () => log.client.joinGroup("theirs"),
      () => log.client.sendToGroup("mine", "x", "text"),
    ]) {
      const error = await failure(call());
      assert.equal(error.name, "SendMessageError");
      assert.equal(error.errorDetail.name, "Forbidden");
    }
    await log.client.joinGroup("mine");
    assert.equal(log.disconnected.length, 0);
  },

  async invoke() {
    const { client, server } = await connect({ roles: [] });
    const json = await client.invokeEvent("echo", { a: [1] }, "json");
    assert.deepEqual(plain(json), ["json", { a: [1] }]);
    assert.match(json.invocationId, /./);
    assert.deepEqual(plain(await client.invokeEvent("echo", "hi", "text")), ["text", "hi"]);
    const binary = await client.invokeEvent("echo", bytes(0, 255), "binary");
    assert.deepEqual(plain(binary), ["binary", 0, 255]);
    const none = await client.invokeEvent("nothing", "x", "text", { invocationId: "my-own" });
    assert.deepEqual([none.invocationId, none.dataType], ["my-own", undefined]);
    assert.deepEqual(server, []);
  },

  async invokeErrors() {
    const handled = (await connect({ roles: [] })).client;
    const bare = (await connect({ roles: [], hub: "bare" })).client;
    for (const [client, event, name] of [
      [handled, "refuse", "Forbidden"],
      [handled, "fail", "InternalServerError"],
      [bare, "echo", "NotFound"],
    ]) {
      const error = await failure(client.invokeEvent(event, "x", "text"));
      assert.equal(error.name, "InvocationError");
      assert.equal(error.errorDetail.name, name);
    }
    await handled.invokeEvent("echo", "alive", "text");
  },

  async invokeAbort() {
    const { client } = await connect({ roles: [] });
    const upstream = async () => (await fetch(`${settings.upstream}/slow/${settings.client}`)).json();
    const before = await upstream();
    const abort = new AbortController();
    const failed = failure(
      client.invokeEvent("slow", settings.client, "text", { abortSignal: abort.signal }),
    );
    await until(async () => (await upstream()).started > before.started);
    abort.abort();
    assert.equal((await failed).name, "InvocationError");
    await until(async () => (await upstream()).cancelled > before.cancelled);
    await client.invokeEvent("echo", "alive", "text");
  },

  /** The session is gone when the client comes back: a new connection, and the groups again. */
  async closeAndRejoin() {
    const at = settings.forgetful;
    const log = await connect({ at, userId: "back" });
    await log.client.joinGroup(group("again"));
    const sender = await connect({ at: settings.forgetfulDirect });
    await fetch(settings.control);
    await until(() => log.connected.length === 2);
    assert.notEqual(log.connected[0].connectionId, log.connected[1].connectionId);
    assert.equal(log.disconnected.length, 1);
    await sender.client.sendToGroup(group("again"), "welcome", "text");
    await until(() => log.group.length === 1);
  },

  /** Links are cut again and again: every message arrives once and in order all the same. */
  async recovery() {
    const receiver = await connect({ at: settings.cutting });
    const sender = await connect({});
    await receiver.client.joinGroup(group("numbers"));
    const [count, block] = [2000, 400];
    for (let first = 0; first < count; first += block) {
      // The client confirms once a second, and the service holds at most 1000 for it.
      const confirmed = new Promise((resolve) => setTimeout(resolve, 1100));
      for (let n = first; n < first + block; n += 1) {
        await sender.client.sendToGroup(group("numbers"), { n, text: "x".repeat(100) }, "json", {
          fireAndForget: true,
        });
      }
      await until(() => receiver.group.length >= first + block);
      await confirmed;
    }
    assert.deepEqual(receiver.group.map((m) => m.data.n), [...Array(count).keys()]);
    assert.equal(receiver.connected.length, 1);
    assert.equal(receiver.disconnected.length, 0);
  },
};

console.log(JSON.stringify(await outcomes(scenarios)));
process.exit(0); // the clients' timers would keep the process alive
