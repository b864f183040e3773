// The official JavaScript server SDK, unmodified, called from outside: a line of JSON for each call,
// a line of JSON for its outcome. Names and options are those of `ServiceClient`.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { WebPubSubServiceClient, AzureKeyCredential } = require("@azure/web-pubsub");

/** For sends: a text is the text itself only when it is said to be one. */
const sending = ({ content_type, excluded, filter, ttl_seconds }) => ({
  ...(content_type === "text/plain" && { contentType: content_type }),
  ...(excluded && { excludedConnections: excluded }),
  ...(filter !== undefined && { filter }),
  ...(ttl_seconds !== undefined && { messageTtlSeconds: ttl_seconds }),
});
const permission = (method) => (server, [name, id], { group }) => server[method](id, name, { targetName: group });

async function listed(pages) {
  const members = [];
  for await (const { connectionId, userId } of await pages) members.push([connectionId, userId ?? null]);
  return members;
}

const calls = {
  send_to_all: (server, [message], options) => server.sendToAll(message, sending(options)),
  send_to_group: (server, [group, message], options) => server.group(group).sendToAll(message, sending(options)),
  send_to_user: (server, [user, message], options) => server.sendToUser(user, message, sending(options)),
  send_to_connection: (server, [id, message], options) => server.sendToConnection(id, message, sending(options)),
  connection_exists: (server, [id]) => server.connectionExists(id),
  user_exists: (server, [user]) => server.userExists(user),
  group_exists: (server, [group]) => server.groupExists(group),
  close_connection: (server, [id], options) => server.closeConnection(id, options),
  close_all_connections: (server, [], options) => server.closeAllConnections(options),
  close_group_connections: (server, [group], options) => server.group(group).closeAllConnections(options),
  close_user_connections: (server, [user], options) => server.closeUserConnections(user, options),
  add_connection_to_group: (server, [group, id]) => server.group(group).addConnection(id),
  remove_connection_from_group: (server, [group, id]) => server.group(group).removeConnection(id),
  remove_connection_from_all_groups: (server, [id]) => server.removeConnectionFromAllGroups(id),
  add_user_to_group: (server, [group, user]) => server.group(group).addUser(user),
  remove_user_from_group: (server, [group, user]) => server.group(group).removeUser(user),
  remove_user_from_all_groups: (server, [user]) => server.removeUserFromAllGroups(user),
  add_connections_to_groups: (server, [groups], { filter }) => server.addConnectionsToGroups(groups, filter),
  remove_connections_from_groups: (server, [groups], { filter }) => server.removeConnectionsFromGroups(groups, filter),
  list_connections: (server, [group], { page_size, top }) =>
    listed(server.group(group).listConnections({ maxPageSize: page_size, top })),
  grant_permission: permission("grantPermission"),
  revoke_permission: permission("revokePermission"),
  has_permission: permission("hasPermission"),
  get_client_access_token: (server, [], { user_id, roles, groups, minutes_to_expire }) =>
    server.getClientAccessToken({ userId: user_id, roles, groups, expirationTimeInMinutes: minutes_to_expire }),
};

const insecure = { allowInsecureConnection: true };
const open = ({ connection_string, endpoint, key, hub }) =>
  connection_string
    ? new WebPubSubServiceClient(connection_string, hub, insecure)
    : new WebPubSubServiceClient(endpoint, new AzureKeyCredential(key), hub, insecure);

/** Bytes travel as {"base64": …}. */
const revived = (_, value) => (typeof value?.base64 === "string" ? new Uint8Array(Buffer.from(value.base64, "base64")) : value);

const servers = new Map();

async function outcome({ target, name, args, options }) {
  const id = JSON.stringify(target);
  if (!servers.has(id)) servers.set(id, open(target));
  try {
    return { value: (await calls[name](servers.get(id), args, options)) ?? null };
  } catch (error) {
    return { status: error.statusCode ?? null, problem: error.stack ?? String(error) };
  }
}

const methods = ({ prototype }) => Object.getOwnPropertyNames(prototype).filter((name) => name !== "constructor");
const group = new WebPubSubServiceClient("Endpoint=http://localhost;AccessKey=k;", "h", insecure).group("g");
console.log(JSON.stringify({ calls: Object.keys(calls), methods: [...methods(WebPubSubServiceClient), ...methods(group.constructor)] }));

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await outcome(JSON.parse(line, revived))));
}
process.exit(0); // kept-alive HTTP connections would hold the process
