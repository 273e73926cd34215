/** An image on its way to CRIU: what of it waits, and what is in its pipe. */
import { closeSync } from "node:fs";
import { Drained } from "../../system/drained.ts";
import { growPipe } from "../../system/fd.ts";
import { lendFrom, type Written, writeFrom } from "../../system/memory.ts";

/** A piece of this many bytes is worth a large pipe, and lending. */
const LARGE = 128 << 10;
/**
 * Of the pipe of a large file: the first is the kernel's limit for those who are not root. The fewer times CRIU and we
 * wait for each other, the better: each costs some 0.1 ms.
 */
const PIPE_BYTES = [1 << 20, 4 << 20];

export interface OutgoingFile {
  number: number;
  /** Undefined until CRIU has sent it. */
  fd: number | undefined;
  /** Not in the pipe yet, or not all of it; oldest first. */
  pieces: { address: number; length: number; lent: boolean }[];
  /** The pipe had no room: not before it is drained, or broken. */
  full: boolean;
  drained: Drained | undefined;
  /** Pieces in the pipe, oldest first: where each ends in the file. */
  inPipe: { end: number; lent: boolean }[];
  /** Bytes put into the pipe. */
  size: number;
  ended: boolean;
  /** Whether "taken" is to be told when there is room for a further piece. */
  owes: boolean;
}

/** Those of the next pieces that may go together. */
export function putPieces(file: OutgoingFile, pipe: number): { bytes: Written; wanted: number } {
  const copied = file.pieces.findIndex(({ lent }) => !lent);
  const lent = copied < 0 ? file.pieces : file.pieces.slice(0, copied);
  const [first] = file.pieces;
  if (first === undefined || !first.lent) {
    const { address, length } = first ?? { address: 0, length: 0 };
    return { bytes: writeFrom(pipe, address, length), wanted: length };
  }
  if (file.drained === undefined) {
    for (const bytes of PIPE_BYTES) growPipe(pipe, bytes);
    file.drained = new Drained(pipe);
  }
  const wanted = lent.reduce((sum, { length }) => sum + length, 0);
  return { bytes: lendFrom(pipe, lent), wanted };
}

export function addPiece(file: OutgoingFile, address: number, length: number): void {
  file.pieces.push({ address, length, lent: length >= LARGE });
}

export function newFile(number: number): OutgoingFile {
  const state = { fd: undefined, drained: undefined, full: false, owes: false, ended: false };
  return { number, ...state, pieces: [], inPipe: [], size: 0 };
}

/** May be called again. */
export function closeFile(file: OutgoingFile): void {
  file.drained?.[Symbol.dispose]();
  if (file.fd !== undefined) closeSync(file.fd);
  file.drained = undefined;
  file.fd = undefined;
}
