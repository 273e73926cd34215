/** Checkpoint folders made for the tests of src/archive. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Manifest, serializeManifest } from "../../src/archive/manifest.ts";
import { END, paddingOf, tarHeader } from "../../src/archive/tar.ts";
import { CedanaError } from "../../src/errors.ts";

/** A folder that is gone at the end of the test's block. */
export function scratch(): { path: string; folder(name: string): string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "cedana-archive-"));
  return {
    path,
    folder(name) {
      mkdirSync(join(path, name), { recursive: true });
      return join(path, name);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export function manifestOf(files: { name: string; size: number }[]): Manifest {
  return {
    version: 1,
    id: "1e8b1f6a-6f0e-4b7e-9d5a-2f6f0c6f1a11",
    jid: "used_gould8",
    type: "process",
    createdAt: "2025-02-19T12:32:01.000Z",
    host: "somewhere",
    arch: "x86_64",
    kernel: "6.18.0",
    criuVersion: "4.2.1",
    cpuFeatures: ["fpu", "avx2"],
    uid: 0,
    gid: 0,
    groups: [],
    args: ["sleep", "60"],
    cwd: "/",
    pid: 4242,
    shellJob: false,
    unprivileged: false,
    tty: null,
    stdio: [{ fd: 1, kind: "pipe", key: "pipe:[146975]", flags: 1 }],
    stdinEnded: false,
    output: { kind: "none" },
    files,
  };
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE((state ^ (state >>> 13)) >>> 0, at);
  }
  return bytes;
}

/** Small, empty, odd and large files; pages with noise, text and long runs of zeroes. */
export function imageFiles(): Record<string, Buffer> {
  const pages = Buffer.concat([
    noise(1_500_000),
    Buffer.alloc(2_500_000),
    Buffer.from("text ".repeat(200_000)),
    noise(77),
  ]);
  return {
    "core-1.img": noise(1337, 2),
    "dump.log": Buffer.from("(00.000001) Version: 4.2.1\n"),
    "empty.img": Buffer.alloc(0),
    "inventory.img": noise(512, 3),
    "pages-1.img": pages,
    "pages-2.img": noise(1 << 20, 4),
    "zeroes.img": Buffer.alloc(300_000),
  };
}

export function writeFolder(folder: string, files: Record<string, Buffer> = imageFiles()): Manifest {
  const manifest = manifestOf(Object.entries(files).map(([name, bytes]) => ({ name, size: bytes.length })));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  writeFileSync(join(folder, "manifest.json"), serializeManifest(manifest));
  return manifest;
}

export function contentOf(folder: string): Record<string, Buffer> {
  const names = readdirSync(folder).filter((name) => name !== "manifest.json" && name !== "checksums.json");
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(folder, name))]));
}

/** A tar of whatever a hostile hand puts into it; the end is its own. */
export function tarOf(
  members: { name: string; bytes: Buffer; type?: string; link?: string }[],
  end = END,
): Buffer {
  const parts = members.flatMap(({ name, bytes, type, link }) => {
    const header = tarHeader({ name, size: bytes.length, uid: 0, gid: 0, mtime: new Date(0) });
    if (type !== undefined) header.write(type, 156, "latin1");
    if (link !== undefined) header.write(link, 157, "latin1");
    return [resum(header), bytes, Buffer.alloc(paddingOf(bytes.length))];
  });
  return Buffer.concat([...parts, end]);
}

/** Makes a header's checksum right again. */
export function resum(header: Buffer): Buffer {
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** The CedanaError that `work` ends with. */
export async function failureOf(work: () => unknown): Promise<CedanaError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
