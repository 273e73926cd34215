/**
 * What the engine and its mover say to each other: JSON, a message a line.
 *
 *   engine ── beginning ──▶ mover    what to do; orders follow, at the points where the engine decides
 *          ◀── events ──             how far it is; the last message is the answer
 *
 * The mover is a process of its own (the hidden verb `__move`), so that the daemon answers while bytes move, and has
 * the rights of whoever asked. When its stdin closes before the answer, whoever asked has gone or changed their mind:
 * what was written is removed.
 */
import type { ManifestFile } from "../../archive/manifest.ts";
import type { Compression } from "../../config/schema.ts";
import type { StorageSettings } from "../../storage/credentials.ts";

/** A place in a bucket, and the keys to it; the mover completes them from its user's own files. */
export interface BucketPlace {
  kind: "bucket";
  /** "s3://bucket/prefix" */
  url: string;
  /** Of the checkpoint, below it. */
  name: string;
  settings: StorageSettings;
}

/** Paths may be /proc/self/fd/N. */
export type Place = { kind: "local"; path: string } | BucketPlace;

/** How a checkpoint is to be written. */
export interface Form {
  compression: Compression;
  /** Shards; 0: none. */
  streams: number;
  /** Of the codec; 0: its fastest. */
  level: number;
  /** Bytes of blocks held at once. */
  memory: number;
  /** Flush to disk what is local. */
  sync: boolean;
}

/** What must be known of an archive before its images come (archive-writer.ts, where `folder` is told of too). */
export interface ArchiveRoom {
  manifestRoom: number;
  owner: { uid: number; gid: number };
}

/** The number that the first open file that it is lent has in a mover. */
export const FIRST_FD = 5;
/** How many files it is lent at most. */
export const MOST_FDS = 2;
/** The word after `__move` with which a mover is started before there is work. */
export const AHEAD = "ahead";

/** `label`s are what errors call a thing. */
export type MoverRequest =
  /** A folder of images, with its manifest, becomes an archive, shards, or objects. */
  | { verb: "pack"; label: string; folder: string; to: Place; form: Form }
  /** What CRIU streams becomes shards, or one archive. `socketDir` is CRIU's images folder, `uid` its user. */
  | {
      verb: "capture";
      label: string;
      socketDir: string;
      uid: number;
      to: Place;
      form: Form;
      archive?: ArchiveRoom & { folder: string };
    }
  /** A checkpoint's small images are put into `dir`, and all of them are streamed to CRIU. */
  | { verb: "serve"; label: string; from: Place; dir: string; uid: number }
  /** The small images alone. */
  | { verb: "extract"; label: string; from: Place; dir: string }
  | { verb: "unpack"; label: string; from: Place; folder: string; folderLabel: string }
  | { verb: "verify"; label: string; from: Place; content: boolean }
  | { verb: "checksum"; label: string; folder: string }
  /** Its manifest, and the bytes that it takes in the bucket. */
  | { verb: "look"; label: string; from: BucketPlace }
  | { verb: "remove"; label: string; from: BucketPlace }
  /** What a killed mover left half uploaded. */
  | { verb: "abandon"; label: string; from: BucketPlace };

/** What a mover is told first. */
export interface MoverBeginning {
  request: MoverRequest;
  /** Paths of open files of ours, which it opens as its own, from FIRST_FD on; absent where it has inherited them. */
  lent?: string[];
}

export type MoverEvent =
  /** It has what it was lent. */
  | { event: "begun" }
  /** Everything that can be checked beforehand was: it waits for `go`. What CRIU streams to waits for CRIU. */
  | { event: "ready" }
  /** CRIU may be started: it waits for its images until `go`. */
  | { event: "listening" }
  | { event: "bytes"; done: number; total: number }
  /** CRIU's last image is written. */
  | { event: "captured"; files: ManifestFile[] }
  /** Everything is where it belongs, and nobody sees it before `commit`. */
  | { event: "written"; bytes: number }
  /** Something that it wrote to a bucket may be there still. */
  | { event: "left" }
  /** The manifest, as text; not `seekable`: only unpacking helps. */
  | { event: "opened"; manifest: string; seekable: boolean }
  /** Every byte is what was dumped. */
  | { event: "verified" };

/**
 * What is written on this host needs neither `go` nor `commit`: nothing is checked before, and publishing is a rename. CRIU gets
 * its images after `go`.
 */
export type MoverOrder =
  | { order: "go" }
  | { order: "manifest"; manifest: string }
  | { order: "commit" }
  /** CRIU has restored the tree, which does not run yet. */
  | { order: "finish" };

/** `bytes`: of the checkpoint when written, of the files when unpacked, else 0. */
export type MoverAnswer =
  | { ok: { bytes: number } }
  | { error: { reason: string; message: string; hint?: string; details: readonly string[] } };
