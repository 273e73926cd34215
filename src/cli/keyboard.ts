/** This process's stdin, window and Ctrl+C, on behalf of a job. Disposing it leaves the terminal as it was found. */
import { makeRaw } from "../system/pty.ts";
import type { AttachMessage } from "./attach.ts";
import { DetachKeys } from "./relay.ts";
import { terminalSize } from "./requests.ts";

interface Wiring {
  /** Resolves once the message is on its way. */
  send(message: AttachMessage): Promise<void>;
  detach(): void;
}

export class Keyboard implements Disposable {
  private unraw: (() => void) | undefined;
  private reading = false;
  private readonly keys = new DetachKeys();
  private readonly restore = () => this[Symbol.dispose]();

  constructor(private readonly wiring: Wiring) {
    process.on("SIGINT", wiring.detach).on("SIGTERM", wiring.detach).on("SIGHUP", wiring.detach);
    // The last resort, for ends that nothing else here sees.
    process.on("exit", this.restore);
  }

  /** Begins to relay. With a terminal on both sides, keys go to the job as they are, Ctrl+C among them. */
  connect({ tty, stdin }: { tty: boolean; stdin: boolean }): void {
    if (tty) process.on("SIGWINCH", this.resized);
    if (!stdin) return;
    if (tty && process.stdin.isTTY) {
      this.unraw = makeRaw(0);
    }
    this.reading = true;
    process.stdin.on("data", this.typed).once("end", this.ended).once("error", this.ended);
  }

  [Symbol.dispose](): void {
    const { detach } = this.wiring;
    process.off("SIGINT", detach).off("SIGTERM", detach).off("SIGHUP", detach);
    process.off("exit", this.restore).off("SIGWINCH", this.resized);
    if (this.reading) {
      process.stdin.off("data", this.typed).off("end", this.ended).off("error", this.ended).pause();
      // A pipe or terminal would keep this process; a file, which has no unref, does not.
      if ("unref" in process.stdin) process.stdin.unref();
    }
    this.unraw?.();
    this.unraw = undefined;
    this.reading = false;
  }

  private readonly resized = () => {
    const value = terminalSize();
    if (value !== undefined) void this.wiring.send({ case: "resize", value });
  };

  /** Its end, or a terminal that went away: either way nothing more is typed. */
  private readonly ended = () => {
    void this.wiring.send({ case: "stdinEof", value: true });
  };

  private readonly typed = async (data: Uint8Array) => {
    const { forJob, detach } = this.unraw ? this.keys.read(data) : { forJob: data, detach: false };
    // No more is read before the job took this.
    process.stdin.pause();
    if (forJob.length > 0) await this.wiring.send({ case: "stdin", value: forJob });
    if (detach) this.wiring.detach();
    else if (this.reading) process.stdin.resume();
  };
}
