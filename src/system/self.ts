/** How to start this very program again: the compiled binary, or `bun src/main.ts` in a checkout. */
export function selfCommand(): string[] {
  const compiled = import.meta.path.startsWith("/$bunfs/");
  // Linux adds this when the binary was replaced while this process started: an upgrade. The new one does as well.
  const binary = process.execPath.replace(/ \(deleted\)$/, "");
  return compiled ? [binary] : [process.execPath, new URL("../main.ts", import.meta.url).pathname];
}

/**
 * The environment for children of ours that are not a user's job: nothing of the caller's, and none of Bun's own
 * switches, with which a caller could make this binary run other code.
 */
export function cleanEnvironment(): Record<string, string> {
  return { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" };
}
