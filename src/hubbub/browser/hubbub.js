/**
 * Names, options and events are those of `@azure/web-pubsub-client`, with `recovering` and
 * `recovered`.
 *
 * @typedef {"json" | "text" | "binary" | "protobuf"} DataType
 * @typedef {{ackId?: number, isDuplicated: boolean}} Result
 * @typedef {{ackId?: number, abortSignal?: AbortSignal}} GroupOptions
 * @typedef {GroupOptions & {fireAndForget?: boolean, noEcho?: boolean}} SendOptions
 * @typedef {{maxRetries?: number, retryDelayInMs?: number, maxRetryDelayInMs?: number,
 *   mode?: "Exponential" | "Fixed"}} RetryOptions
 * @typedef {{protocol?: string | {name: string}, autoReconnect?: boolean,
 *   autoRejoinGroups?: boolean, keepAliveIntervalInMs?: number, keepAliveTimeoutInMs?: number,
 *   messageRetryOptions?: RetryOptions, reconnectRetryOptions?: RetryOptions}} Options
 */

const RELIABLE = "json.reliable.webpubsub.azure.v1";
const CONNECT_TIMEOUT_MS = 15_000; // for the access URL, then for `connected`
const RECOVERY_WINDOW_MS = 30_000; // as long as the service keeps a lost session
const RECOVERY_PAUSE_MS = 1_000;
const PROBE_TIMEOUT_MS = 5_000; // a living link answers a ping within this
const STABLE_AFTER_MS = 10_000; // then the count of reconnects starts anew
const SEQUENCE_ACK_MS = 1_000;
const SEQUENCE_ACK_MESSAGES = 200; // at 1000 the service ends the connection
const MAX_PENDING = 1_000;
const LOST = "Connection lost: whether this was done is unknown";
const RETRYABLE = ["InternalServerError", "TransientError", "ServiceUnavailable"];

class OperationError extends Error {
  constructor(message, facts) {
    super(message);
    Object.assign(this, facts);
  }
}

/** Has `ackId` and, if the service gave one, `errorDetail`. */
export class SendMessageError extends OperationError {
  name = "SendMessageError";
}

/** Has `invocationId` and, if the service gave one, `errorDetail`. */
export class InvocationError extends OperationError {
  name = "InvocationError";
}

const failure = ({ type, ackId, invocationId }, message, errorDetail) =>
  type === "invoke"
    ? new InvocationError(message, { invocationId, errorDetail })
    : new SendMessageError(message, { ackId, errorDetail });

const report = (error) => console.warn("hubbub:", error);
const now = () => performance.now();

/** Settles as `promise`, or rejects when `signal` aborts or `ms` have passed. */
function within(promise, signal, ms) {
  let timer, abort;
  return new Promise((resolve, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    if (ms) timer = setTimeout(() => reject(new Error(`No answer within ${ms} ms`)), ms);
    promise.then(resolve, reject);
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  });
}

const sleep = (ms, signal) => within(new Promise((resolve) => setTimeout(resolve, ms)), signal);

const pauseOf = ({ mode, retryDelayInMs, maxRetryDelayInMs }, attempt) =>
  Math.min(maxRetryDelayInMs, retryDelayInMs * (mode === "Fixed" ? 1 : 2 ** (attempt - 1)));

const retryOptions = (
  { maxRetries, retryDelayInMs = 1000, maxRetryDelayInMs = 30_000, mode } = {},
  retries,
  way,
) => ({ maxRetries: maxRetries ?? retries, retryDelayInMs, maxRetryDelayInMs, mode: mode ?? way });

const isBinary = (dataType) => dataType === "binary" || dataType === "protobuf";

/** Throws here what the service would answer by ending the connection. */
function encode(data, dataType) {
  if (isBinary(dataType) && (data instanceof ArrayBuffer || ArrayBuffer.isView(data))) {
    let text = "";
    const { buffer = data, byteOffset, byteLength } = data;
    for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) {
      text += String.fromCharCode(byte);
    }
    return { dataType, data: btoa(text) };
  }
  if (dataType === "text" ? typeof data === "string" : dataType === "json" && data != null) {
    return { dataType, data };
  }
  throw new TypeError(`No ${dataType}: ${data}`);
}

function decode({ data, dataType }) {
  if (isBinary(dataType)) return Uint8Array.from(atob(data), (char) => char.charCodeAt(0)).buffer;
  if (dataType === "json" || dataType === "text") return data;
}

/** One WebSocket, used once. */
class Link {
  openedAt = now();
  heardAt = now();
  pingedAt = 0;

  constructor(url, protocol) {
    this.socket = new WebSocket(url, protocol);
    this.closed = new Promise((resolve) => (this.socket.onclose = this.end = resolve));
  }

  send(frame) {
    if (this.socket.readyState !== 1) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  ping() {
    this.pingedAt = now();
    this.send({ type: "ping" });
  }

  /** Without waiting for a closing handshake: a dead peer never answers. */
  drop(code) {
    this.socket.onmessage = this.socket.onopen = null;
    this.socket.close(code);
    this.end({ code: code ?? 1006, reason: "" });
  }
}

/** A connection to a hub that comes back by itself. */
export class WebPubSubClient {
  #source;
  #options;
  #protocol;
  #listeners = {};
  #groups = new Set(); // wished, joined or not
  #pending = new Map(); // operations, oldest first
  #ackId = 0;
  #invocationId = 0;
  #run; // undefined: stopped
  #done;
  #link; // undefined: not connected
  #connectionId;
  #token;
  #farewell;
  #sequenceId = 0;
  #unconfirmed = 0;
  #sequenceTimer;

  /**
   * @param {string | {getClientAccessUrl: string | ((context: {abortSignal: AbortSignal}) =>
   *   string | Promise<string>)}} credential asked once per new connection
   * @param {Options} [options]
   */
  constructor(
    credential,
    {
      protocol = RELIABLE,
      autoReconnect = true,
      autoRejoinGroups = true,
      keepAliveIntervalInMs: interval = 15_000,
      keepAliveTimeoutInMs: timeout = 30_000,
      messageRetryOptions,
      reconnectRetryOptions,
    } = {},
  ) {
    if (!(interval >= 0 && (timeout === 0 || timeout > interval))) {
      throw new RangeError("keepAliveTimeoutInMs must be above keepAliveIntervalInMs");
    }
    this.#source = credential.getClientAccessUrl ?? credential;
    this.#protocol = protocol.name ?? protocol;
    this.#options = {
      autoReconnect,
      autoRejoinGroups,
      interval,
      timeout,
      messageRetry: retryOptions(messageRetryOptions, 3, "Fixed"),
      reconnectRetry: retryOptions(reconnectRetryOptions, Infinity, "Exponential"),
    };
  }

  /** @param {string} event @param {(e: any) => void} listener */
  on(event, listener) {
    (this.#listeners[event] ??= new Set()).add(listener);
  }

  /** @param {string} event @param {(e: any) => void} listener */
  off(event, listener) {
    this.#listeners[event]?.delete(listener);
  }

  /**
   * Resolves when the service has said `connected`; a first failure is thrown, not retried.
   * @param {{abortSignal?: AbortSignal}} [options]
   */
  async start({ abortSignal } = {}) {
    if (this.#run) throw new Error("Only a stopped client can be started");
    const { signal } = (this.#run = new AbortController());
    const abort = () => this.stop();
    abortSignal?.addEventListener("abort", abort);
    const started = this.#connect(signal);
    this.#done = started.then(
      (link) => this.#supervise(link, signal),
      () => this.#finish(),
    );
    if (abortSignal?.aborted) abort();
    await started.finally(() => abortSignal?.removeEventListener("abort", abort));
  }

  /** Works in every state; resolves after `stopped`. */
  async stop() {
    this.#run?.abort(new Error("The client was stopped"));
    await this.#done;
  }

  /** @param {string} group @param {GroupOptions} [options] @returns {Promise<Result>} */
  async joinGroup(group, options) {
    const isWished = this.#groups.has(group);
    this.#groups.add(group);
    try {
      return await this.#request({ type: "joinGroup", group }, options);
    } catch (error) {
      if (!isWished) this.#groups.delete(group);
      throw error;
    }
  }

  /** @param {string} group @param {GroupOptions} [options] @returns {Promise<Result>} */
  async leaveGroup(group, options) {
    this.#groups.delete(group);
    return this.#request({ type: "leaveGroup", group }, options);
  }

  /**
   * @param {string} group @param {any} content @param {DataType} dataType
   * @param {SendOptions} [options] @returns {Promise<Result>}
   */
  async sendToGroup(group, content, dataType, options) {
    const noEcho = options?.noEcho ?? false;
    const payload = encode(content, dataType);
    return this.#request({ type: "sendToGroup", group, noEcho, ...payload }, options);
  }

  /**
   * @param {string} event @param {any} content @param {DataType} dataType
   * @param {SendOptions} [options] @returns {Promise<Result>}
   */
  async sendEvent(event, content, dataType, options) {
    return this.#request({ type: "event", event, ...encode(content, dataType) }, options);
  }

  /**
   * Resolves with the application server's answer. Never repeated.
   * @param {string} event @param {any} [content] @param {DataType} [dataType]
   * @param {{invocationId?: string, abortSignal?: AbortSignal}} [options]
   * @returns {Promise<{invocationId: string, dataType?: DataType, data?: any}>}
   */
  async invokeEvent(event, content, dataType, options) {
    const invocationId = options?.invocationId ?? `${++this.#invocationId}`;
    const payload = content == null ? {} : encode(content, dataType);
    const frame = { type: "invoke", invocationId, target: "event", event, ...payload };
    return this.#operate(`i${invocationId}`, frame, options?.abortSignal);
  }

  async #supervise(link, signal) {
    const { autoReconnect, reconnectRetry: retry } = this.#options;
    let connectedAt = now();
    let attempt = 0;
    while (link) {
      const { code, reason } = await this.#watch(link, signal);
      this.#suspend();
      link = await this.#recover(link, code, signal);
      if (link) continue;
      this.#abandon();
      const [connectionId, message] = [this.#connectionId, this.#farewell];
      this.#emit("disconnected", { connectionId, message, closeCode: code, closeReason: reason });
      if (now() - connectedAt >= STABLE_AFTER_MS) attempt = 0;
      while (!link && autoReconnect && !signal.aborted && attempt < retry.maxRetries) {
        try {
          await sleep(Math.random() * pauseOf(retry, ++attempt), signal);
          link = await this.#connect(signal);
          connectedAt = now();
        } catch (error) {
          report(error);
        }
      }
    }
    this.#finish();
    this.#emit("stopped", {});
  }

  async #connect(signal) {
    const asking = new AbortController();
    const ask = async () =>
      this.#source.call?.(null, { abortSignal: asking.signal }) ?? this.#source;
    const url = await within(ask(), signal, CONNECT_TIMEOUT_MS).finally(() => asking.abort());
    if (typeof url !== "string") throw new TypeError("The access URL must be a string");
    this.#connectionId = this.#token = this.#farewell = undefined;
    this.#sequenceId = this.#unconfirmed = 0;
    return this.#open(url, signal, CONNECT_TIMEOUT_MS);
  }

  /** undefined: the connection cannot be had back. */
  async #recover(lost, code, signal) {
    if (this.#protocol !== RELIABLE || !this.#token || code === 1008 || signal.aborted) return;
    const lostAt = now();
    this.#emit("recovering", { connectionId: this.#connectionId });
    const url = new URL(lost.socket.url);
    url.searchParams.set("awps_connection_id", this.#connectionId);
    url.searchParams.set("awps_reconnection_token", this.#token);
    // After a link that broke at once, not at once: that would spin.
    let pause = lostAt - lost.openedAt < RECOVERY_PAUSE_MS ? RECOVERY_PAUSE_MS : 0;
    while (now() - lostAt < RECOVERY_WINDOW_MS) {
      try {
        await sleep(pause, signal);
        return await this.#open(url.href, signal, PROBE_TIMEOUT_MS, true);
      } catch (error) {
        if (signal.aborted || error.code === 1008) return;
        report(error);
      }
      pause = RECOVERY_PAUSE_MS;
    }
  }

  /** Proof of a link is `connected`, in a recovery any frame. */
  async #open(url, signal, ms, isRecovery) {
    const link = new Link(url, this.#protocol);
    const proven = new Promise((resolve) => {
      link.socket.onmessage = ({ data }) => {
        link.heardAt = now();
        const frame = this.#parse(data);
        if (this.#link !== link) {
          if (!isRecovery && frame.event !== "connected") return;
          this.#resume(link, frame, isRecovery);
          resolve();
        }
        this.#receive(frame);
      };
    });
    if (isRecovery) link.socket.onopen = () => link.ping();
    try {
      const end = await within(Promise.race([proven, link.closed]), signal, ms);
      if (!end) return link;
      throw new OperationError(`Closed with ${end.code}`, { code: end.code });
    } catch (error) {
      if (this.#link === link) return link; // a listener has stopped the client
      link.drop(isRecovery ? undefined : 1000);
      throw error;
    }
  }

  async #watch(link, signal) {
    const { interval, timeout } = this.#options;
    const grace = Math.min(timeout - interval, PROBE_TIMEOUT_MS);
    const check = () => {
      const silence = now() - link.heardAt;
      const isAsked = link.pingedAt > link.heardAt;
      if (interval && silence >= interval && !isAsked) link.ping();
      // Timers of a hidden page come late: only an unanswered ping proves death.
      const isDue = !interval || (isAsked && now() - link.pingedAt >= grace);
      if (timeout && silence >= timeout && isDue) link.drop();
    };
    const timer = setInterval(check, Math.min(1000, (interval || timeout || 4000) / 4));
    try {
      return await within(link.closed, signal);
    } catch {
      link.drop(1000); // without a code the service would keep the session
      return link.closed;
    } finally {
      clearInterval(timer);
    }
  }

  #resume(link, frame, isRecovered) {
    this.#link = link;
    if (isRecovered) {
      this.#emit("recovered", { connectionId: this.#connectionId });
      if (this.#unconfirmed) this.#confirm();
    } else {
      this.#announce(frame);
    }
    for (const operation of this.#pending.values()) this.#write(operation);
  }

  async #announce({ connectionId, userId }) {
    this.#connectionId = connectionId;
    const asked = [...this.#pending.values()].map(({ frame }) => frame);
    const groups = [...this.#groups].filter(
      (name) => !asked.some(({ type, group }) => type === "joinGroup" && group === name),
    );
    const rejoin = (group) =>
      this.#request({ type: "joinGroup", group }).catch((error) =>
        this.#emit("rejoin-group-failed", { group, error }),
      );
    if (this.#options.autoRejoinGroups && groups.length) {
      const { signal } = this.#run;
      await within(Promise.all(groups.map(rejoin)), signal, PROBE_TIMEOUT_MS).catch(report);
      if (this.#connectionId !== connectionId || !this.#run) return;
    }
    this.#emit("connected", { connectionId, userId });
  }

  /** The link is gone: what was written is written again later, with the same id. */
  #suspend() {
    this.#link = undefined;
    this.#sequenceTimer = clearTimeout(this.#sequenceTimer);
    for (const operation of this.#pending.values()) {
      operation.isWritten = false;
      if (operation.isTried && operation.frame.type === "invoke") this.#fail(operation, LOST);
    }
  }

  /** The connection is gone: what may have been done is not repeated on another. */
  #abandon() {
    for (const operation of this.#pending.values()) {
      if (operation.isTried && !/^(join|leave)/.test(operation.frame.type)) {
        this.#fail(operation, LOST);
      }
    }
  }

  #finish() {
    this.#run = undefined;
    for (const operation of this.#pending.values()) this.#fail(operation, "The client stopped");
  }

  #parse(data) {
    try {
      const frame = JSON.parse(data);
      return frame.dataType ? { ...frame, data: decode(frame) } : frame;
    } catch (error) {
      report(error);
      return {};
    }
  }

  #receive({ type, from, ...frame }) {
    if (type === "system") {
      if (frame.event === "connected") this.#token = frame.reconnectionToken ?? this.#token;
      if (frame.event === "disconnected") this.#farewell = frame;
    } else if (type === "message") {
      const isNew = !frame.sequenceId || this.#isNew(frame.sequenceId);
      if (!isNew || frame.data === undefined) return;
      if (from === "group" || from === "server") {
        this.#emit(`${from}-message`, { message: { kind: `${from}Data`, ...frame } });
      }
    } else if (type === "ack") {
      this.#receiveAck(frame);
    } else if (type === "invokeResponse") {
      const { invocationId, success, dataType, data, error } = frame;
      const operation = this.#pending.get(`i${invocationId}`);
      if (success !== true) this.#fail(operation, error?.message ?? "Invocation failed", error);
      else this.#take(operation)?.resolve({ invocationId, dataType, data });
    }
  }

  #receiveAck({ ackId, success, error }) {
    const retry = this.#options.messageRetry;
    const operation = this.#pending.get(`a${ackId}`);
    const isDuplicated = error?.name === "Duplicate";
    if (success || isDuplicated) {
      this.#take(operation)?.resolve({ ackId, isDuplicated });
    } else if (RETRYABLE.includes(error?.name) && operation?.attempt < retry.maxRetries) {
      operation.isWritten = operation.isTried = false;
      const pause = pauseOf(retry, ++operation.attempt);
      operation.timer = setTimeout(() => this.#write(operation), pause);
    } else {
      this.#fail(operation, `${error?.name}: ${error?.message}`, error);
    }
  }

  #isNew(sequenceId) {
    const isNew = sequenceId > this.#sequenceId;
    if (isNew) this.#sequenceId = sequenceId;
    if (++this.#unconfirmed >= SEQUENCE_ACK_MESSAGES) this.#confirm();
    else this.#sequenceTimer ??= setTimeout(() => this.#confirm(), SEQUENCE_ACK_MS);
    return isNew;
  }

  #confirm() {
    this.#sequenceTimer = clearTimeout(this.#sequenceTimer);
    const frame = { type: "sequenceAck", sequenceId: this.#sequenceId };
    if (this.#link?.send(frame)) this.#unconfirmed = 0;
  }

  async #request(frame, { ackId = this.#ackId + 1, fireAndForget, abortSignal } = {}) {
    if (fireAndForget) return this.#operate(Symbol(), frame, abortSignal);
    if (!Number.isSafeInteger(ackId) || ackId < 0) throw new RangeError(`ackId ${ackId}`);
    // The next is above all used ones: the service takes a used id for a repeat.
    this.#ackId = Math.max(this.#ackId, ackId);
    return this.#operate(`a${ackId}`, { ...frame, ackId }, abortSignal);
  }

  /** A symbol as key: no answer comes. */
  async #operate(key, frame, abortSignal) {
    const operation = { key, frame, attempt: 0 };
    if (!this.#run) throw failure(frame, "The client is not started");
    if (this.#pending.has(key) || this.#pending.size >= MAX_PENDING) {
      throw failure(frame, "Too many operations wait, or this one does");
    }
    const abort = () => this.#fail(operation, "The operation was cancelled");
    const result = new Promise((resolve, reject) => Object.assign(operation, { resolve, reject }));
    this.#pending.set(key, operation);
    abortSignal?.addEventListener("abort", abort);
    if (abortSignal?.aborted) abort();
    else this.#write(operation);
    return result.finally(() => abortSignal?.removeEventListener("abort", abort));
  }

  #write(operation) {
    if (operation.isWritten || !this.#link?.send(operation.frame)) return;
    clearTimeout(operation.timer);
    operation.isWritten = operation.isTried = true;
    if (typeof operation.key === "symbol") this.#take(operation).resolve({ isDuplicated: false });
  }

  #take(operation) {
    clearTimeout(operation?.timer);
    if (this.#pending.delete(operation?.key)) return operation;
  }

  #fail(operation, message, detail) {
    if (!this.#take(operation)) return;
    const { frame, isTried, reject } = operation;
    reject(failure(frame, message, detail));
    if (frame.type !== "invoke" || !isTried || detail) return;
    // After a loss this waits for the recovery, if one comes.
    const cancel = { key: Symbol(), isTried, resolve() {}, reject() {} };
    cancel.frame = { type: "cancelInvocation", invocationId: frame.invocationId };
    this.#pending.set(cancel.key, cancel);
    this.#write(cancel);
  }

  #emit(event, argument) {
    for (const listener of [...(this.#listeners[event] ?? [])]) {
      try {
        listener(argument)?.catch?.(report);
      } catch (error) {
        report(error);
      }
    }
  }
}
