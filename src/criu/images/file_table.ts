import {
  FdType,
  type FileEntry,
  FileEntrySchema,
  type MemfdInode,
  MemfdInodeSchema,
  RemapFilePathSchema,
  type TtyInfo,
  TtyInfoSchema,
} from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readRecords } from "./records.ts";

/** Every open file description of a checkpoint, and what its records refer to. Processes refer to it by type and id. */
export interface FileTable {
  image: Image;
  entries: Map<string, FileEntry>;
  /** Path of each unix socket by its inode; "" when it has none. */
  unixPaths: Map<number, string>;
  memfds: Map<number, MemfdInode>;
  ttys: Map<number, TtyInfo>;
  /** Ids of regular files whose name was gone. */
  deleted: Set<number>;
}

/** Throws CHECKPOINT_CORRUPT. */
export async function readFileTable(dir: string): Promise<FileTable> {
  const image: Image = { dir, name: "files.img", magic: magic.files };
  const table: FileTable = {
    image,
    entries: new Map(),
    unixPaths: new Map(),
    memfds: new Map(),
    ttys: new Map(),
    deleted: new Set(),
  };
  const found = await readRecords(image, FileEntrySchema, (entry) => {
    if (entry.usk !== undefined) table.unixPaths.set(entry.usk.ino, unixPath(entry.usk.name));
    // These bytes are lent by the reader; the path above is all that is needed of them.
    if (entry.usk !== undefined) entry.usk.name = new Uint8Array();
    table.entries.set(key(entry.type, entry.id), entry);
  });
  if (!found) throw corruptImage(image, "is missing");

  await readRecords({ dir, name: "memfd.img", magic: magic.memfd }, MemfdInodeSchema, (inode) => {
    table.memfds.set(Number(inode.inodeId), inode);
  });
  await readRecords({ dir, name: "tty-info.img", magic: magic.ttyInfo }, TtyInfoSchema, (tty) => {
    table.ttys.set(tty.id, tty);
  });
  await readRecords(
    { dir, name: "remap-fpath.img", magic: magic.remapPath },
    RemapFilePathSchema,
    (remap) => {
      table.deleted.add(remap.origId);
    },
  );
  return table;
}

/** The record a descriptor refers to. */
export function fileEntry(table: FileTable, type: FdType, id: number): FileEntry {
  const entry = table.entries.get(key(type, id));
  if (entry === undefined) throw corruptImage(table.image, `lacks a file that a process has open (id ${id})`);
  return entry;
}

/** Path of a regular file, as /proc shows it. */
export function pathOf(table: FileTable, id: number): string {
  const name = fileEntry(table, FdType.REG, id).reg?.name ?? "";
  return table.deleted.has(id) ? `${name} (deleted)` : name;
}

/** Name of a memfd, as /proc shows it. CRIU keeps shared anonymous memory as a memfd called "/dev/zero". */
export function memfdName(table: FileTable, id: number): string {
  const name = memfdInode(table, id)?.name ?? "";
  return `${name === "/dev/zero" ? name : `/memfd:${name}`} (deleted)`;
}

/** The shared memory segment that holds a memfd's content. */
export function memfdSegment(table: FileTable, id: number): bigint | undefined {
  const inode = memfdInode(table, id);
  return inode === undefined ? undefined : BigInt(inode.shmid);
}

function memfdInode(table: FileTable, id: number): MemfdInode | undefined {
  return table.memfds.get(fileEntry(table, FdType.MEMFD, id).memfd?.inodeId ?? 0);
}

function key(type: FdType, id: number): string {
  return `${type}:${id}`;
}

/** As /proc/net/unix prints it: abstract names start with "@" in place of the NUL byte. */
function unixPath(name: Uint8Array): string {
  const text = new TextDecoder().decode(name);
  return text.startsWith("\0") ? text.replaceAll("\0", "@") : text.replace(/\0+$/, "");
}
