/**
 * Starting movers. One with our own rights takes some 20 ms to be there, which everybody who dumps or restores would
 * wait for; so a daemon keeps one ready, whose modules are loaded, and gives it its work when there is some:
 *
 *   engine ── pipes ──▶ mover (waits)
 *          ── beginning ──▶ (works)       the pipe closes instead: we are gone, so is it
 *
 * What it is to read is open here: it opens that again by our own /proc/PID/fd. Everybody else inherits it.
 */
import { closeSync, openSync } from "node:fs";
import type { Subprocess } from "bun";
import { CedanaError } from "../../errors.ts";
import { type Identity, ownIdentity } from "../../system/caller.ts";
import { closeAll, pipe } from "../../system/fd.ts";
import { cleanEnvironment, selfCommand } from "../../system/self.ts";
import { startAs } from "../../system/spawn.ts";
import { AHEAD, FIRST_FD, MOST_FDS } from "./protocol.ts";

/** A mover that waits for its beginning. */
export interface Started {
  child: Subprocess;
  /** Our ends of its pipes; whoever talks with it closes them. */
  stdin: number;
  stdout: number;
  stderr: number;
  /** What it is to open (`MoverBeginning`). */
  lent?: string[];
}

/** A new one is made ready when the last one has been gone for so long, ms: it must not compete with what follows. */
const quietMs = 30;

/** Keeps one ready, where it is told to. */
export class Movers {
  private spare: Promise<Started> | undefined;
  private keeps = false;

  /** From now on there is one whenever nobody needs any. */
  keepOne(): void {
    this.keeps = true;
    this.oneIsGone();
  }

  oneIsGone(): void {
    if (this.keeps) setTimeout(() => this.prepare(), quietMs).unref();
  }

  /** The caller's from now on, if it has the rights; it may just have died. */
  async take(identity: Identity, fds: number[]): Promise<Started | undefined> {
    const { spare } = this;
    if (spare === undefined || identity.uid !== ownIdentity().uid || fds.length > MOST_FDS) return undefined;
    this.spare = undefined;
    const taken = await spare;
    taken.child.ref();
    return { ...taken, lent: fds.map((fd) => `/proc/${process.pid}/fd/${fd}`) };
  }

  private prepare(): void {
    this.spare ??= spawnSpare();
    // Nobody waits for its end while it has no work. Whoever takes one that could not be started is told.
    this.spare.then(({ child }) => child.unref()).catch(() => {});
  }
}

/** Throws INTERNAL. */
export async function spawnMover(identity: Identity, fds: number[]): Promise<Started> {
  return identity.uid === ownIdentity().uid ? spawnOwn(command(), fds) : spawnAs(identity, fds);
}

async function spawnSpare(): Promise<Started> {
  // In the place of what it is going to be lent, or Bun would open something else there.
  const nothing = openSync("/dev/null", "r");
  try {
    return await spawnOwn([...command(), AHEAD], Array<number>(MOST_FDS).fill(nothing));
  } finally {
    closeSync(nothing);
  }
}

function spawnOwn(args: string[], fds: number[]): Promise<Started> {
  return withPipes((stdio) =>
    Bun.spawn(args, {
      stdio: [...stdio, "ignore", "ignore", ...fds],
      env: moverEnvironment(true),
      cwd: "/",
      // A terminal's Ctrl+C is for whoever started us to act upon.
      detached: true,
    }),
  );
}

async function spawnAs(identity: Identity, fds: number[]): Promise<Started> {
  return await withPipes(async (stdio) => {
    const env = Object.entries(moverEnvironment(false)).map(([name, value]) => `${name}=${value}`);
    const inherit = fds.map((_, index) => FIRST_FD + index);
    const started = await startAs(
      {
        ...{ identity, capabilities: [], args: command(), env, inherit },
        ...{ cwd: "/", umask: 0o77, session: true, terminal: false },
      },
      [...stdio, ...fds],
    );
    if (started.ok) return started.process;
    const { step, message } = started.failure;
    throw new CedanaError({
      reason: "INTERNAL",
      message: `cannot start a mover as uid ${identity.uid}: ${step}: ${message}`,
    });
  });
}

async function withPipes(
  start: (stdio: [number, number, number]) => Subprocess | Promise<Subprocess>,
): Promise<Started> {
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  try {
    const child = await start([stdin.read, stdout.write, stderr.write]);
    return { child, stdin: stdin.write, stdout: stdout.read, stderr: stderr.read };
  } catch (error) {
    closeAll([stdin.write, stdout.read, stderr.read]);
    throw error;
  } finally {
    closeAll([stdin.read, stdout.write, stderr.write]);
  }
}

function command(): string[] {
  return [...selfCommand(), "__move"];
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
