/**
 * The native lz4, loaded when first used: a Node addon, which a compiled binary carries inside and unpacks to
 * $BUN_TMPDIR (else /tmp) before the loader can map it.
 *
 * The platform's own package is named in full, so that the bundler embeds that one file and no other; `bun build
 * --target` replaces process.arch, so each binary carries its own. Both are glibc builds.
 */
import type * as Lz4 from "lz4-napi";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";

export type Lz4Addon = Pick<typeof Lz4, "compressFrame" | "uncompressSync">;

let addon: Lz4Addon | undefined;

/** Throws NOT_SUPPORTED where it cannot be loaded, as below a /tmp mounted noexec. */
export function loadLz4(): Lz4Addon {
  try {
    addon ??= requireAddon();
    return addon;
  } catch (error) {
    const folder = process.env.BUN_TMPDIR ?? process.env.TMPDIR ?? "/tmp";
    const unmappable = errnoOf(error) === "ERR_DLOPEN_FAILED";
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `lz4 cannot be loaded${unmappable ? ` from ${folder}` : ""}: ${messageOf(error)}`,
      hint: unmappable
        ? `if ${folder} is mounted noexec, set BUN_TMPDIR to a folder that is not; or use another compression, such as zstd`
        : "use another compression, such as zstd",
      cause: error,
    });
  }
}

function requireAddon(): Lz4Addon {
  if (process.arch === "arm64") {
    return require("@antoniomuso/lz4-napi-linux-arm64-gnu/lz4-napi.linux-arm64-gnu.node");
  } else {
    return require("@antoniomuso/lz4-napi-linux-x64-gnu/lz4-napi.linux-x64-gnu.node");
  }
}
