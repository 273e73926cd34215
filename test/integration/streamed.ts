/** A process that is dumped and restored through CRIU's pipes, by the real CRIU and our streamer. */
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { isImageName } from "../../src/archive/names.ts";
import { locateCriu } from "../../src/criu/locate.ts";
import { type CaptureOptions, capture } from "../../src/criu/streamer/capture.ts";
import { type Piece, serve } from "../../src/criu/streamer/serve.ts";
import { listenForCriu } from "../../src/criu/streamer/thread.ts";
import { until } from "./client.ts";
import { countIn, workload } from "./victim.ts";

const { command: criu } = await locateCriu({ binDir: "/usr/local/bin" });

/** Images by name, as lists of the blocks they came in. */
export type Images = Map<string, Buffer[]>;

export class Streamed implements Disposable {
  readonly dir = mkdtempSync("/tmp/cedana-streamer-");
  readonly pid: number;
  readonly #uid: number;

  /** A process of this user that counts while its memory, pipes and files are what they were. */
  constructor(uid = 0) {
    this.#uid = uid;
    chownSync(this.dir, uid, uid);
    this.pid = Bun.spawn(["/usr/bin/python3", workload("streamed.py"), join(this.dir, "count")], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", "ignore", "ignore"],
      uid,
      gid: uid,
    }).pid;
  }

  count(): number {
    return countIn(join(this.dir, "count"));
  }

  async goesOn(): Promise<void> {
    const before = this.count();
    await until(`${this.pid} counts beyond ${before}`, () => this.count() > before + 1);
  }

  /** Starts CRIU as the engine does: its folder is an open one, and it may be another user. */
  criu(verb: "dump" | "restore", more: string[]): Bun.Subprocess {
    const folder = openSync(this.dir, constants.O_RDONLY | constants.O_DIRECTORY);
    const user = ["setpriv", `--reuid=${this.#uid}`, `--regid=${this.#uid}`, "--clear-groups"];
    const rights = [
      "--inh-caps=-all,+sys_ptrace,+checkpoint_restore",
      "--ambient-caps=+sys_ptrace,+checkpoint_restore",
    ];
    try {
      return Bun.spawn(
        [
          ...(this.#uid === 0 ? [] : [...user, ...rights]),
          ...[...criu, verb, "-D", "/proc/self/fd/5", "--stream", "--shell-job", "-o", `${verb}.log`],
          ...(this.#uid === 0 ? [] : ["--unprivileged"]),
          ...more,
        ],
        { stdio: ["ignore", "ignore", "ignore", "ignore", "ignore", folder], cwd: "/" },
      );
    } finally {
      closeSync(folder);
    }
  }

  capture(more: Partial<CaptureOptions> = {}) {
    const options = { imagesDir: this.dir, uid: this.#uid, memoryLimit: 8 << 20, accept: isImageName };
    return capture({ ...options, ...more });
  }

  /** Each of `names` by what `open` gives. */
  serve(names: Iterable<string>, open: (name: string) => Promise<AsyncIterable<Piece>>) {
    const images = new Map([...names].map((name) => [name, undefined]));
    const listener = listenForCriu("serve", { imagesDir: this.dir, uid: this.#uid });
    return serve({ listener, images, open });
  }

  /** Dumps it to its end and waits until its pids are free. */
  async dump(): Promise<Images> {
    const images: Images = new Map();
    await using captured = this.capture();
    const running = this.criu("dump", ["-t", `${this.pid}`]);
    for await (const each of captured.blocks) {
      const blocks = images.get(each.name) ?? [];
      images.set(each.name, blocks);
      if (each.kind === "end") continue;
      blocks.push(Buffer.from(each.bytes));
      each.release();
    }
    if ((await running.exited) !== 0) throw new Error(readFileSync(join(this.dir, "dump.log"), "utf8"));
    const pids = [...images.keys()].flatMap((name) => /^core-(\d+)\.img$/.exec(name)?.[1] ?? []);
    await until(`${pids} are gone`, () => !pids.some((pid) => existsSync(`/proc/${pid}`)));
    return images;
  }

  [Symbol.dispose](): void {
    // Its own group: the child goes as well.
    if (existsSync(`/proc/${this.pid}`)) process.kill(-this.pid, "SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Pieces as a restore asks for them. */
export async function* pieces(blocks: Buffer[], onRelease = () => {}): AsyncGenerator<Piece> {
  for (const bytes of blocks) yield { bytes, release: onRelease };
}
