/** The requests of a multipart upload. Nobody sees the object before the last of them. */
import { CedanaError } from "../errors.ts";
import type { Client } from "./client.ts";
import { sourceOf } from "./download.ts";
import { refusalOf } from "./failure.ts";
import { abandonUploads, abortUpload, type OpenUpload } from "./objects.ts";
import { type Haste, hasty } from "./patience.ts";
import { Garbled, Refusal } from "./refusal.ts";
import { elementsOf, escapeXml, textOf } from "./xml.ts";

interface Target {
  client: Client;
  key: string;
  /** Continues "cannot …". */
  doing: string;
  signal?: AbortSignal;
}

export interface Multipart {
  /** Sends part `number` (from 1); `bytes` must not change before this has ended. */
  part(number: number, bytes: Uint8Array): Promise<void>;
  /** Makes one object of all parts sent, of `size` bytes. */
  complete(size: number): Promise<void>;
  /** Nothing of it stays. Not cut short by the target's own signal. No part may be on its way. */
  abort(): Promise<void>;
}

export async function beginMultipart(target: Target): Promise<Multipart> {
  const { client, key, doing, signal } = target;
  // A try whose answer was lost began an upload that nobody knows the id of.
  let doubtful = false;
  const onRetry = () => {
    doubtful = true;
  };
  const sweep = (haste?: Haste) => abandonUploads({ client, key, haste });
  const begin = { doing, method: "POST", key, query: { uploads: "" }, signal, onRetry } as const;
  const id = await client.send(begin, uploadIdIn).catch(async (error: unknown) => {
    // Where the store answers nothing, this fails too, and the first error is the one to tell.
    if (doubtful || signal?.aborted === true) await sweep({ tries: 1 }).catch(() => {});
    throw error;
  });
  const upload: OpenUpload = { key, id };
  const etags: string[] = [];
  return {
    async part(number, bytes) {
      const query = { partNumber: String(number), uploadId: id };
      const call = { doing, method: "PUT", key, query, body: bytes, signal } as const;
      etags[number - 1] = await client.send(call, async (response) => {
        await response.text();
        const etag = response.headers.get("etag");
        if (etag === null) throw new Garbled("the answer to a part has no ETag");
        return etag;
      });
    },
    async complete(size) {
      await complete({ target, id, etags, size });
      if (doubtful) await sweep();
    },
    async abort() {
      await abortUpload({ client, upload, haste: hasty });
      if (doubtful) await sweep(hasty);
    },
  };
}

async function uploadIdIn(response: Response): Promise<string> {
  const id = textOf(await response.text(), "UploadId");
  if (id === undefined || id === "") throw new Garbled("the answer names no upload");
  return id;
}

async function complete(options: { target: Target; id: string; etags: string[]; size: number }) {
  const { target, id, etags, size } = options;
  const { client, key, doing, signal } = target;
  const parts = etags.map(
    (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
  );
  const body = Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`);
  let doubtful = false;
  const onRetry = () => {
    doubtful = true;
  };
  // Stores may put a large object together for minutes, some of them in silence.
  const call = {
    doing,
    method: "POST",
    key,
    query: { uploadId: id },
    body,
    signal,
    onRetry,
    patient: 4,
  } as const;
  try {
    await client.send(call, async (response, progress) => {
      // S3 answers 200 before it knows, keeps the line alive with blanks, and then may tell of a failure.
      let text = "";
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        progress();
        text += piece;
      }
      if (elementsOf(text, "Error").length > 0) throw new Refusal(500, response.headers, text);
    });
  } catch (error) {
    // A try whose answer was lost may have done it.
    if (!doubtful || refusalOf(error)?.code !== "NoSuchUpload") throw error;
    const there = await sourceOf({ client, key, signal });
    if (there.size === size) return;
    const message = `cannot ${doing}: somebody else ended the upload`;
    throw new CedanaError({ reason: "STORAGE_UNAVAILABLE", message, cause: error });
  }
}
