/** The host's runc on a root of its own. Needs root, and fails without it. */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { listContainers } from "../../../src/runc/containers.ts";
import { until } from "../client.ts";
import { type Bundle, type BundleParts, makeBundle } from "./bundle.ts";

export interface Runc extends AsyncDisposable {
  /** runc's --root. */
  root: string;
  /** A folder for the test, removed at the end. */
  dir: string;
  /** An id that no other test's container has: by default its cgroup is called so. */
  id(name: string): string;
  bundle(name: string, parts?: BundleParts): Bundle;
  /** Runs `runc --root … ARGS` to its end and gives what it printed, "" for a start; throws when it fails. */
  exec(args: string[]): Promise<string>;
  /** Starts `runc run` and leaves it in the foreground; it ends with its container. */
  foreground(bundle: Bundle, id: string): Promise<Subprocess>;
  /** Deletes a container, whatever it is doing. */
  remove(id: string): Promise<void>;
}

export function startRunc(): Runc {
  const dir = mkdtempSync(join(tmpdir(), "cedana-runc-"));
  const root = join(dir, "root");
  const children: Subprocess[] = [];
  const marker = `${process.pid}-${dir.slice(-6)}`;
  // A container keeps the stdio it was started with: a pipe of ours would keep the test waiting for its end.
  const log = openSync(join(dir, "output"), "a");
  const command = (args: string[]) => ["runc", "--root", root, ...args];

  async function exec(args: string[]): Promise<string> {
    if (args.some((arg) => ["run", "create", "restore"].includes(arg))) return await start(args);
    const child = Bun.spawn(command(args), { stdio: ["ignore", "pipe", "pipe"] });
    const [out, error] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`runc ${args.join(" ")}: ${error}`);
    return out;
  }

  async function start(args: string[]): Promise<string> {
    const child = Bun.spawn(command(args), { stdio: ["ignore", log, log] });
    if ((await child.exited) !== 0)
      throw new Error(`runc ${args.join(" ")}: ${readFileSync(join(dir, "output"), "utf8")}`);
    return "";
  }

  const remove = async (id: string) => void (await exec(["delete", "--force", id]));

  return {
    root,
    dir,
    id: (name) => `${name}-${marker}`,
    bundle: (name, parts) => makeBundle(join(dir, name), parts),
    exec,
    remove,
    async foreground(bundle, id) {
      const child = Bun.spawn(command(["run", "--bundle", bundle.path, id]), {
        stdio: ["ignore", log, log],
      });
      children.push(child);
      await until(`${id} runs`, () => bundle.count() > 0 || child.exitCode !== null);
      return child;
    },
    async [Symbol.asyncDispose]() {
      const { containers } = listContainers(root);
      for (const { id } of containers) await remove(id);
      for (const child of children) await child.exited;
      for (const { cgroupPaths } of containers) {
        for (const path of cgroupPaths.values())
          await until(`the cgroup ${path} is gone`, () => !existsSync(path));
      }
      closeSync(log);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
