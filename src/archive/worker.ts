/**
 * The hidden verb `__archive`: moves the bytes of a checkpoint in a process of its own, so that the daemon answers
 * while it works, and with the rights that process was given.
 *
 *   stdin   one line, the request; when it closes before the answer, whoever asked has gone or changed their mind:
 *           what was written is removed
 *   stdout  one line, the answer
 */
import { writeSync } from "node:fs";
import { CedanaError, messageOf } from "../errors.ts";

/** Paths may be /proc/self/fd/N; `label`s are what errors call them. */
export type ArchiveRequest =
  | {
      verb: "pack";
      folder: string;
      archive: string;
      compression: "tar" | "gzip" | "lz4" | "zlib" | "zstd";
      sync: boolean;
      label: string;
    }
  | { verb: "unpack"; archive: string; folder: string; label: string; folderLabel: string }
  | { verb: "verify"; folder: string; label: string; content: boolean }
  | { verb: "checksum"; folder: string; label: string };

/** `bytes`: of the archive when packed, of the files when unpacked, else 0. */
export type ArchiveAnswer =
  | { ok: { bytes: number } }
  | { error: { reason: string; message: string; hint?: string; details: readonly string[] } };

export async function archiveMain(): Promise<void> {
  const answer = await answerRequest();
  const line = Buffer.from(`${JSON.stringify(answer)}\n`);
  for (let done = 0; done < line.length; ) done += writeSync(1, line, done);
  process.exit(0); // stdin is still being read
}

async function answerRequest(): Promise<ArchiveAnswer> {
  const input = Bun.stdin.stream().getReader();
  try {
    const request: ArchiveRequest = JSON.parse(await firstLine(input));
    const controller = new AbortController();
    abortAtEnd(input, controller);
    return { ok: { bytes: await perform(request, controller.signal) } };
  } catch (error) {
    const { reason, message, hint, details } =
      error instanceof CedanaError
        ? error
        : new CedanaError({ reason: "INTERNAL", message: messageOf(error) });
    return { error: { reason, message, hint, details } };
  }
}

/** Does it in this process; resolves with the answer's bytes. */
export async function perform(request: ArchiveRequest, signal?: AbortSignal): Promise<number> {
  switch (request.verb) {
    case "pack":
      return (await (await import("./pack.ts")).packFile({ ...request, signal })).size;
    case "unpack":
      return (await (await import("./unpack.ts")).unpackFile({ ...request, signal })).bytes;
    case "verify":
      await (await import("./verify.ts")).verifyFolder({ ...request, signal });
      return 0;
    case "checksum":
      await (await import("./verify.ts")).addChecksums({ ...request, signal });
      return 0;
  }
}

interface Input {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}

async function firstLine(input: Input): Promise<string> {
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await input.read();
    if (done) throw new Error("no request on stdin");
    text += Buffer.from(value ?? []).toString();
  }
  return text;
}

async function abortAtEnd(input: Input, controller: AbortController): Promise<void> {
  while (!(await input.read()).done);
  controller.abort(
    new CedanaError({ reason: "CANCELLED", message: "cancelled; what was written has been removed" }),
  );
}
