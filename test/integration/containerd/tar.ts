/** A tar of a few small files, by hand (POSIX ustar): what a layer of an image is. */

export type Entry =
  | { path: string; type: "folder"; mode?: number }
  | { path: string; type: "file"; bytes: Uint8Array | string; mode?: number }
  | { path: string; type: "link"; target: string };

const BLOCK = 512;
const kinds = { file: "0", link: "2", folder: "5" };

export function tarOf(entries: readonly Entry[]): Uint8Array {
  const parts = entries.flatMap((entry) => {
    const bytes = entry.type === "file" ? Buffer.from(entry.bytes) : Buffer.alloc(0);
    const padding = Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK);
    return [header(entry, bytes.length), bytes, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(entry: Entry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  const mode = entry.type === "link" ? 0o777 : (entry.mode ?? (entry.type === "folder" ? 0o755 : 0o644));
  block.write(entry.path, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.fill(" ", 148, 156);
  block.write(kinds[entry.type], 156);
  if (entry.type === "link") block.write(entry.target, 157, 100);
  block.write("ustar\x0000", 257);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
