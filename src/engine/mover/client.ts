/** Starts a mover with the rights of an identity, and talks with it. */
import { closeSync, write } from "node:fs";
import { promisify } from "node:util";
import type { Subprocess } from "bun";
import { CedanaError, errnoOf, reasons } from "../../errors.ts";
import { type Identity, ownIdentity } from "../../system/caller.ts";
import { closeAll, pipe } from "../../system/fd.ts";
import { Fields } from "../../system/fields.ts";
import { cleanEnvironment, selfCommand } from "../../system/self.ts";
import { startAs } from "../../system/spawn.ts";
import { linesOf } from "./port.ts";
import type { MoverAnswer, MoverEvent, MoverOrder, MoverRequest } from "./protocol.ts";

export interface MoverOptions {
  /** Whose rights it has. */
  identity: Identity;
  /** Fds that the request names as `/proc/self/fd/<FIRST_FD + index>`; they stay the caller's. */
  fds?: number[];
  /** Aborting ends the mover; what it wrote is removed. */
  signal?: AbortSignal;
  /** Told how far it is, in bytes; a total of 0 is not known. */
  onBytes?: (done: number, total: number) => void;
}

/** The number that the first of `fds` has in the mover. */
export const FIRST_FD = 5;
/** For the mover to remove what it wrote, once told to stop: an upload's end is asked for over the network, ms. */
const GRACE_MS = 15_000;

type Kind = MoverEvent["event"];
type Told<K extends Kind> = Extract<MoverEvent, { event: K }>;

export async function startMover(request: MoverRequest, options: MoverOptions): Promise<Mover> {
  options.signal?.throwIfAborted();
  const stdin = pipe();
  const stdout = pipe();
  const stderr = pipe();
  let child: Subprocess;
  try {
    child = await start(options, [stdin.read, stdout.write, stderr.write]);
  } catch (error) {
    closeAll([stdin.write, stdout.read, stderr.read]);
    throw error;
  } finally {
    closeAll([stdin.read, stdout.write, stderr.write]);
  }
  return new Mover(child, { stdin: stdin.write, stdout: stdout.read, stderr: stderr.read }, request, options);
}

export class Mover implements AsyncDisposable {
  /** The bytes of the answer; rejects with what the mover threw, or CANCELLED, when it is gone. */
  readonly answer: Promise<number>;
  private readonly told = new Map<Kind, MoverEvent>();
  private answered = false;
  private readonly waiting = new Map<Kind, (event: MoverEvent) => void>();
  private readonly ended: Promise<void>;
  private sending: Promise<unknown>;
  private stdin: number;
  private killing: NodeJS.Timeout | undefined;

  constructor(
    private readonly child: Subprocess,
    pipes: { stdin: number; stdout: number; stderr: number },
    private readonly request: MoverRequest,
    private readonly options: MoverOptions,
  ) {
    this.stdin = pipes.stdin;
    this.sending = this.write(request);
    options.signal?.addEventListener("abort", this.stop, { once: true });
    if (options.signal?.aborted) this.stop();
    this.answer = this.listen(pipes);
    this.ended = this.answer.then(
      () => {},
      () => {},
    );
  }

  /** Resolves with that event, which comes once; rejects with what the mover threw when it ended without. */
  async event<K extends Kind>(kind: K): Promise<Told<K>> {
    const event = await Promise.race([this.come(kind), this.answer.then(() => undefined)]);
    const late = event ?? this.told.get(kind);
    if (late !== undefined && isOf(late, kind)) return late;
    throw new CedanaError({
      reason: "INTERNAL",
      message: `the mover of ${this.request.label} ended without a word`,
    });
  }

  /** Once it has ended: something that it wrote to a bucket may be there still. */
  get left(): boolean {
    return !this.answered || this.told.has("left");
  }

  order(order: MoverOrder): void {
    this.sending = this.sending.then(() => this.write(order));
  }

  /** Ends it, if it has not answered yet: then what it wrote is removed. Resolves when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.ended;
    clearTimeout(this.killing); // it may have ended before: nobody is to wait for that
  }

  private readonly stop = (): void => {
    if (this.killing !== undefined) return;
    this.killing = setTimeout(() => this.child.kill("SIGKILL"), GRACE_MS);
    // The mover must have read what it is sent before it is told that nothing more comes.
    void this.sending.then(() => this.closeStdin());
  };

  private closeStdin(): void {
    if (this.stdin >= 0) closeSync(this.stdin);
    this.stdin = -1;
  }

  private come(kind: Kind): Promise<MoverEvent> {
    const event = this.told.get(kind);
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => this.waiting.set(kind, resolve));
  }

  private async listen({ stdout, stderr }: { stdout: number; stderr: number }): Promise<number> {
    const complaint = Bun.file(stderr)
      .text()
      .finally(() => closeSync(stderr));
    let answer: MoverAnswer | undefined;
    try {
      for await (const line of linesOf(Bun.file(stdout).stream())) answer = this.take(JSON.parse(line));
    } finally {
      closeSync(stdout);
      await this.child.exited;
      await this.sending;
      clearTimeout(this.killing);
      this.options.signal?.removeEventListener("abort", this.stop);
      this.closeStdin();
    }
    if (answer !== undefined && !(this.options.signal?.aborted && "error" in answer))
      return understand(answer);
    if (this.options.signal?.aborted) throw cancelled();
    const { signalCode, exitCode } = this.child;
    throw new CedanaError({
      reason: "INTERNAL",
      message: `the process that should ${duties[this.request.verb]} ${this.request.label} died (${signalCode ?? exitCode})`,
      hint: signalCode === "SIGKILL" ? "perhaps the host ran out of memory: see `dmesg`" : undefined,
      details: (await complaint).split("\n").slice(-20),
    });
  }

  /** The answer, when the message is that. */
  private take(message: MoverEvent | MoverAnswer): MoverAnswer | undefined {
    if (!("event" in message)) {
      this.answered = true;
      return message;
    }
    if (message.event === "bytes") {
      this.options.onBytes?.(message.done, message.total);
      return undefined;
    }
    this.told.set(message.event, message);
    this.waiting.get(message.event)?.(message);
    return undefined;
  }

  /** On the thread pool, since a pipe holds less than a manifest may have. One that died shows by its silence. */
  private async write(message: MoverRequest | MoverOrder): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    try {
      for (let done = 0; done < bytes.length; ) {
        if (this.stdin < 0) return;
        done += (await promisify(write)(this.stdin, bytes, done, bytes.length - done, null)).bytesWritten;
      }
    } catch (error) {
      if (errnoOf(error) !== "EPIPE") throw error;
    }
  }
}

/** What each request is for, in a person's words. */
const duties: Readonly<Record<MoverRequest["verb"], string>> = {
  pack: "pack",
  capture: "store what CRIU writes to",
  serve: "read",
  extract: "read",
  unpack: "unpack",
  verify: "verify",
  checksum: "add the checksums of",
  look: "look into",
  remove: "remove",
  abandon: "remove what is left of",
};

function isOf<K extends Kind>(event: MoverEvent, kind: K): event is Told<K> {
  return event.event === kind;
}

function cancelled(): CedanaError {
  return new CedanaError({ reason: "CANCELLED", message: "cancelled; what was written has been removed" });
}

async function start(options: MoverOptions, stdio: [number, number, number]): Promise<Subprocess> {
  const { identity, fds = [] } = options;
  const command = [...selfCommand(), "__move"];
  const own = identity.uid === ownIdentity().uid;
  const env = moverEnvironment(own);
  if (own) {
    // A terminal's Ctrl+C is for whoever started us to act upon.
    return Bun.spawn(command, {
      stdio: [...stdio, "ignore", "ignore", ...fds],
      ...{ env, cwd: "/", detached: true },
    });
  }
  const inherit = fds.map((_, index) => FIRST_FD + index);
  const started = await startAs(
    {
      identity,
      capabilities: [],
      args: command,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: "/",
      umask: 0o77,
      session: true,
      terminal: false,
      inherit,
    },
    [...stdio, ...fds],
  );
  if (started.ok) return started.process;
  const { step, message } = started.failure;
  throw new CedanaError({
    reason: "INTERNAL",
    message: `cannot start a mover as uid ${identity.uid}: ${step}: ${message}`,
  });
}

/**
 * BUN_TMPDIR is where the lz4 addon is unpacked: an administrator moves it off a noexec /tmp. The others say how buckets
 * are reached, and where our own keys to them are; a user's are looked for in the user's home. A proxy's URL may hold a
 * password.
 */
function moverEnvironment(own: boolean): Record<string, string> {
  const names = ["BUN_TMPDIR", "NODE_EXTRA_CA_CERTS", ...(own ? [...keyFiles, ...proxies] : [])];
  const given = names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...cleanEnvironment(), ...Object.fromEntries(given) };
}

const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
const keyFiles = ["HOME", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"];

function understand(answer: MoverAnswer): number {
  const fail = (what: string) =>
    new CedanaError({ reason: "INTERNAL", message: `the mover answered oddly: ${what}` });
  const top = new Fields(answer, "the answer", fail);
  if (top.has("ok")) return top.object("ok").count("bytes");
  const error = top.object("error");
  throw new CedanaError({
    reason: error.oneOf("reason", reasons),
    message: error.string("message", 1 << 20),
    ...(error.has("hint") && { hint: error.string("hint", 1 << 20) }),
    details: error.strings("details", 10_000),
  });
}
