/** Real processes and real dumps of them, for the tests of the image reader. */
import { chmod, chown, mkdtemp, readFile, rm } from "node:fs/promises";
import { locateCriu } from "../../src/criu/locate.ts";
import { waitForPids } from "../../src/engine/pids.ts";

/** The CRIU that the product itself would use here. */
const { command: criuCommand } = await locateCriu({ binDir: "/usr/local/bin" });

export function workload(name: string): string {
  return new URL(`../workloads/${name}`, import.meta.url).pathname;
}

/** A process in a session of its own, killed with everything it started when the scope ends. */
export class Victim implements AsyncDisposable {
  readonly pid: number;
  readonly #process: Bun.Subprocess;

  private constructor(
    readonly folder: string,
    command: string[],
  ) {
    this.#process = Bun.spawn(command, {
      cwd: folder,
      detached: true,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: ["ignore", Bun.file(`${folder}/out`), "ignore"],
    });
    this.pid = this.#process.pid;
  }

  /** `command` gets a new folder as its working folder and in place of "FOLDER", and prints "ready" when it is. */
  static async start(command: string[]): Promise<Victim> {
    const folder = await mkdtemp("/tmp/cedana-images-");
    await chmod(folder, 0o755);
    const victim = new Victim(
      folder,
      command.map((word) => word.replace("FOLDER", folder)),
    );
    const end = Date.now() + 20_000;
    while ((await readFile(`${folder}/out`, "utf8")) !== "ready\n") {
      if (Date.now() > end || victim.#process.exitCode !== null) {
        await victim[Symbol.asyncDispose]();
        throw new Error(`The victim did not get ready: ${command.join(" ")}`);
      }
      await Bun.sleep(20);
    }
    return victim;
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      process.kill(-this.pid, "SIGKILL");
    await this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Dumps the victim, which runs on, and returns the folder of the images; they go with the victim's folder. */
export async function dump(
  victim: Victim,
  more: { prefix?: string[]; owner?: number; args?: string[] } = {},
) {
  const images = await mkdtemp(`${victim.folder}/images-`);
  if (more.owner !== undefined) await chown(images, more.owner, more.owner);
  const fixed = [
    "--leave-running",
    "--shell-job",
    "--tcp-established",
    "--network-lock",
    "skip",
    "-o",
    "log",
  ];
  await criu(
    [
      ...(more.prefix ?? []),
      ...criuCommand,
      "dump",
      "-t",
      `${victim.pid}`,
      "-D",
      images,
      ...fixed,
      ...(more.args ?? []),
    ],
    images,
  );
  return images;
}

/** Restores the images in the background and returns the root's pid, which the caller must kill. */
export async function restore(images: string): Promise<number> {
  // The victim's children may still be zombies that only init can reap.
  await waitForPids(images);
  await criu(
    [...criuCommand, "restore", "-d", "-D", images, "--shell-job", "--pidfile", `${images}/pid`, "-o", "log"],
    images,
  );
  return Number(await readFile(`${images}/pid`, "utf8"));
}

async function criu(command: string[], images: string): Promise<void> {
  const run = Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] });
  if ((await run.exited) === 0) return;
  const log = await readFile(`${images}/log`, "utf8").catch(() => "(no log)");
  throw new Error(`${command.join(" ")} failed:\n${log.split("\n").slice(-15).join("\n")}`);
}
