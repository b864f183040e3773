// The official JavaScript server SDK, unmodified: all that it can do beside tokens and plain sends.
// Prints {scenario: null | "what went wrong"}.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { outcomes, until, watch } from "./scenarios.mjs";

const settings = JSON.parse(process.argv[2]);
const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { WebPubSubServiceClient, odata } = require("@azure/web-pubsub");
const { WebPubSubClient } = require("wps-client-110");

const GROUP = "g/1 +é";
const text = { contentType: "text/plain" };

/** A hub of its own, and clients of it. */
function stage(hub) {
  const insecure = { allowInsecureConnection: true };
  const server = new WebPubSubServiceClient(settings.connectionString, hub, insecure);
  async function connect(token = {}) {
    const { url } = await server.getClientAccessToken(token);
    const log = watch(new WebPubSubClient(url, { autoReconnect: false }));
    await log.client.start();
    await until(() => log.connected.length);
    log.id = log.connected[0].connectionId;
    return log;
  }
  return { server, connect, group: server.group(GROUP) };
}

const said = (log) => [...log.group, ...log.server].map(({ data }) => data);

const scenarios = {
  async filter() {
    const { server, connect, group } = stage("jsfilter");
    const ann = await connect({ userId: "a b'c", groups: [GROUP] });
    const bob = await connect({ userId: "bob", groups: [GROUP] });
    const filter = odata`userId eq ${"a b'c"} and ${GROUP} in groups`;
    await server.sendToAll("all", { ...text, filter });
    await group.sendToAll("group", { ...text, filter });
    await server.sendToUser("a b'c", "user", { ...text, filter });
    await server.sendToUser("bob", "user", { ...text, filter });
    await server.sendToAll("end", { ...text, messageTtlSeconds: 60 });
    await until(() => said(ann).length === 4 && said(bob).length);
    assert.deepEqual(said(ann).sort(), ["all", "end", "group", "user"]);
    assert.deepEqual(said(bob), ["end"]);
    await assert.rejects(server.sendToAll("x", { ...text, filter: "not length(userId) gt 5" }), {
      statusCode: 400,
      code: "Error.BadRequest",
    });
  },

  async close() {
    const { server, connect, group } = stage("jsclose");
    const [one, member, user] = [await connect(), await connect({ groups: [GROUP] }), await connect({ userId: "u/1" })];
    const spared = await connect({ userId: "u/1", groups: [GROUP] });
    const excluded = [spared.id];
    await server.closeConnection(one.id, { reason: "bye é" });
    await server.closeConnection(one.id);
    await group.closeAllConnections({ excluded, reason: "group" });
    await server.closeUserConnections("u/1", { excluded, reason: "user" });
    const logs = [one, member, user];
    await until(() => logs.every((log) => log.disconnected.length));
    const reasons = logs.map((log) => log.disconnected[0].message.message);
    assert.deepEqual(reasons, ["bye é", "group", "user"]);
    assert.equal(spared.disconnected.length, 0);
    await server.closeAllConnections({ reason: "all" });
    await until(() => spared.disconnected.length);
    assert.equal(spared.disconnected[0].message.message, "all");
  },

  async exists() {
    const { server, connect } = stage("jsexists");
    const { id } = await connect({ userId: "u/1", groups: [GROUP] });
    const ask = () =>
      Promise.all([server.connectionExists(id), server.userExists("u/1"), server.groupExists(GROUP)]);
    assert.deepEqual(await ask(), [true, true, true]);
    await server.closeConnection(id);
    assert.deepEqual(await ask(), [false, false, false]);
  },

  async groups() {
    const { server, connect, group } = stage("jsgroups");
    const log = await connect({ userId: "u/1" });
    const other = await connect();
    await group.addConnection(log.id);
    await group.addConnection(log.id);
    await group.sendToAll("hi", text);
    await until(() => log.group.length);
    await group.removeConnection(log.id);
    assert.equal(await server.groupExists(GROUP), false);
    await assert.rejects(group.addConnection("nobody"), {
      statusCode: 404,
      code: "Error.Connection.NotExisted",
    });
    await group.addUser("u/1");
    assert.equal(await server.groupExists(GROUP), true);
    await group.removeUser("u/1");
    await group.addUser("nobody");
    assert.equal(await server.groupExists(GROUP), false);
    for (const leave of [
      () => server.removeUserFromAllGroups("u/1"),
      () => server.removeConnectionFromAllGroups(log.id),
      () => server.removeConnectionsFromGroups([GROUP, "g2"], odata`userId eq ${"u/1"}`),
    ]) {
      await server.addConnectionsToGroups([GROUP, "g2"], odata`userId eq ${"u/1"}`);
      assert.equal(await server.groupExists("g2"), true);
      await leave();
      assert.equal(await server.groupExists(GROUP), false);
      assert.equal(await server.groupExists("g2"), false);
    }
    assert.deepEqual(other.group, []);
  },

  async permissions() {
    const { server, connect } = stage("jspermissions");
    const { id, client } = await connect();
    const target = { targetName: GROUP };
    assert.equal(await server.hasPermission(id, "sendToGroup", target), false);
    await assert.rejects(client.sendToGroup(GROUP, "x", "text"), { name: "SendMessageError" });
    await server.grantPermission(id, "sendToGroup", target);
    assert.equal(await server.hasPermission(id, "sendToGroup", target), true);
    assert.equal(await server.hasPermission(id, "joinLeaveGroup", target), false);
    await client.sendToGroup(GROUP, "x", "text");
    await server.revokePermission(id, "sendToGroup", target);
    assert.equal(await server.hasPermission(id, "sendToGroup", target), false);
    await server.revokePermission("nobody", "sendToGroup", target);
    await assert.rejects(server.grantPermission("nobody", "sendToGroup", target), {
      statusCode: 404,
      code: "Info.Connection.NotExisted",
    });
  },

  async list() {
    const { connect, group, server } = stage("jslist");
    const users = {};
    for (let n = 0; n < 5; n += 1) {
      const userId = n ? `u${n}` : undefined;
      users[(await connect({ userId, groups: [GROUP] })).id] = userId;
    }
    const ids = Object.keys(users).sort();
    const members = async (options, of = group) => {
      const found = [];
      for await (const member of await of.listConnections(options)) found.push(member);
      return found;
    };
    const pages = async (options) => {
      const found = [];
      for await (const page of (await group.listConnections(options)).byPage())
        found.push(page.map(({ connectionId }) => connectionId));
      return found;
    };
    const all = await members({ maxPageSize: 2 });
    assert.deepEqual(all.map(({ connectionId }) => connectionId), ids);
    for (const { connectionId, userId } of all) assert.equal(userId ?? undefined, users[connectionId]);
    assert.equal((await members()).length, 5);
    assert.deepEqual(await pages({ maxPageSize: 2 }), [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    assert.deepEqual(await pages({ maxPageSize: 2, top: 3 }), [ids.slice(0, 2), ids.slice(2, 3)]);
    assert.deepEqual(await members({}, server.group("unknown")), []);
  },
};

console.log(JSON.stringify(await outcomes(scenarios)));
process.exit(0); // the clients' timers would keep the process alive
