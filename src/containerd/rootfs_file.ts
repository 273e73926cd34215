/**
 * Reads a small file of a snapshot that nobody runs in, without mounting it: an overlay's file is that of the topmost
 * layer that has it. A link is not followed: in an image, it could lead to any file of the host.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { Mount } from "./snapshots.ts";

const MAX_BYTES = 1024 * 1024;

/** `path` is absolute and has no dots. Undefined when there is no such file, or not a plain one. */
export function readRootfsFile(mounts: readonly Mount[], path: string): string | undefined {
  for (const layer of mounts.flatMap(layersOf)) {
    const found = locate(layer, path);
    if (found === "hidden") return undefined;
    if (found !== undefined) return readPlain(found);
  }
  return undefined;
}

/** Topmost first. */
function layersOf({ type, source, options }: Mount): string[] {
  if (type === "bind") return [source];
  const option = (name: string) =>
    options.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
  return [option("upperdir") ?? "", ...(option("lowerdir") ?? "").split(":")].filter((layer) => layer !== "");
}

/** Its path; "hidden" where this layer says that there is none, undefined where it says nothing. */
function locate(layer: string, path: string): string | "hidden" | undefined {
  const names = path.split("/").filter((name) => name !== "");
  let at = layer;
  for (const [index, name] of names.entries()) {
    at = join(at, name);
    const info: Stats | undefined = lstatSync(at, { throwIfNoEntry: false });
    if (info === undefined) return undefined;
    // A file that a layer deletes is there as device 0 (overlayfs).
    const plain = index === names.length - 1 ? info.isFile() : info.isDirectory();
    if (!plain) return "hidden";
  }
  return at;
}

function readPlain(path: string): string | undefined {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    return fstatSync(fd).size <= MAX_BYTES ? readFileSync(fd, "utf8") : undefined;
  } finally {
    closeSync(fd);
  }
}
