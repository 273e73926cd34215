/**
 * The supervisor's socket speaks frames: one letter, the payload's length as u32 little-endian, the payload. The same
 * frames, stored one after the other, are the job's tail.bin.
 */
export const frame = {
  // From the daemon.
  hello: "H",
  stdin: "I",
  stdinEnd: "E",
  resize: "R",
  control: "C",
  // To the daemon.
  started: "S",
  stdout: "O",
  stderr: "X",
  exit: "Q",
  state: "T",
} as const;

export type FrameKind = (typeof frame)[keyof typeof frame];

export interface Frame {
  kind: string;
  payload: Uint8Array;
}

const headBytes = 5;
/** Nothing we send is near it; a longer frame means that the two sides have lost each other. */
const maxPayload = 16 * 1024 * 1024;

export function encodeFrame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(headBytes + payload.length);
  bytes.write(kind, 0, "latin1");
  bytes.writeUInt32LE(payload.length, 1);
  bytes.set(payload, headBytes);
  return bytes;
}

export function encodeJson(kind: FrameKind, value: unknown): Uint8Array {
  return encodeFrame(kind, Buffer.from(JSON.stringify(value)));
}

export function decodeJson<T>(payload: Uint8Array): T {
  return JSON.parse(Buffer.from(payload).toString("utf8"));
}

/** Turns chunks, cut anywhere, into frames. */
export class FrameReader {
  private pending = Buffer.alloc(0);

  *push(chunk: Uint8Array): Generator<Frame> {
    this.pending = this.pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.pending, chunk]);
    while (this.pending.length >= headBytes) {
      const length = this.pending.readUInt32LE(1);
      if (length > maxPayload) throw new Error(`frame of ${length} bytes`);
      if (this.pending.length < headBytes + length) return;
      const kind = String.fromCharCode(this.pending[0] ?? 0);
      const payload = this.pending.subarray(headBytes, headBytes + length);
      this.pending = this.pending.subarray(headBytes + length);
      yield { kind, payload };
    }
  }
}
