/** Our terminal and the job's, tied together while the job is in the foreground. */
import { writeSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { makeRaw, windowSize } from "../system/pty.ts";
import type { Input, JobStdio } from "./stdio.ts";

/** Our stdin is not read while more than this waits for the job. */
const waitingBytes = 1024 * 1024;

/** Starts relaying; call the result to give our terminal back. */
export function relayTerminal(stdio: JobStdio): () => void {
  const { stdin, stdout } = process;
  const unraw = stdin.isTTY ? makeRaw(0) : undefined;
  const onData = (data: Buffer) => stdio.input.write(data);
  const onResize = () => stdio.resize(windowSize(1));
  stdin.on("data", onData);
  if (stdout.isTTY) stdout.on("resize", onResize);
  const writeOut = (data: Uint8Array) => writeTo(1, data);
  void stdio.pump(writeOut, writeOut);
  return () => {
    stdin.off("data", onData);
    stdout.off("resize", onResize);
    unraw?.();
    stdin.pause();
  };
}

/** Our stdin goes on to the job, and ends with it; call the result to stop. */
export function relayInput(input: Input): () => void {
  const { stdin } = process;
  const onData = (data: Buffer) => {
    input.write(data);
    if (input.pending > waitingBytes) stdin.pause();
  };
  const onEnd = () => input.end();
  const timer = setInterval(() => {
    if (stdin.isPaused() && input.pending === 0) stdin.resume();
  }, 20);
  stdin.on("data", onData).on("end", onEnd);
  return () => {
    clearInterval(timer);
    stdin.off("data", onData).off("end", onEnd).pause();
  };
}

/** Waits while our output is full, so that the job does too. */
export async function writeTo(fd: number, data: Uint8Array): Promise<void> {
  for (let done = 0; done < data.length; ) {
    try {
      done += writeSync(fd, data, done);
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
      await Bun.sleep(5);
    }
  }
}
